//! The state machine of one replica of one partition.
