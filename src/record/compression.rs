//! Codecs, in the framings that Kafka uses.
