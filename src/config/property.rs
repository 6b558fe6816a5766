//! Parsing of single properties with Kafka's `ConfigException` texts.
