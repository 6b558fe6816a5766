//! [`MetricName`].

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Tags, sorted by key; no key twice.
pub(crate) type Tags = Arc<[(&'static str, Arc<str>)]>;

/// What a metric is called, as in Kafka: a name, a group, and tags that tell its subjects apart.
///
/// Names are equal if name, group and tags are; the description does not count.
#[derive(Clone, Debug)]
pub struct MetricName {
    name: &'static str,
    group: &'static str,
    description: &'static str,
    tags: Tags,
}

impl MetricName {
    pub(crate) fn new(name: &'static str, group: &'static str, description: &'static str, tags: Tags) -> Self {
        debug_assert!(tags.is_sorted_by(|left, right| left.0 < right.0), "{tags:?}");
        Self { name, group, description, tags }
    }

    /// Kafka's name, such as `record-send-rate` or `UnderReplicatedPartitions`.
    pub fn name(&self) -> &str {
        self.name
    }

    /// Kafka's group (`producer-metrics`), or for a broker's metrics the MBean's type (`ReplicaManager`).
    pub fn group(&self) -> &str {
        self.group
    }

    /// What it means, in a sentence.
    pub fn description(&self) -> &str {
        self.description
    }

    /// What it is about (`client-id`, `topic`, `partition` …), sorted by key.
    pub fn tags(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.tags.iter().map(|(key, value)| (*key, &**value))
    }

    /// The value of one tag.
    pub fn tag(&self, key: &str) -> Option<&str> {
        self.tags.iter().find(|(tag, _)| *tag == key).map(|(_, value)| &**value)
    }

    /// Compares with a name in parts, whose tags are sorted.
    pub(super) fn cmp_parts(&self, group: &str, name: &str, tags: &[(&str, &str)]) -> Ordering {
        (self.group, self.name).cmp(&(group, name)).then_with(|| self.tags().cmp(tags.iter().copied()))
    }
}

/// Sorts tags; of a key that comes twice the later value counts.
pub(crate) fn tags(own: impl IntoIterator<Item = (&'static str, Arc<str>)>) -> Tags {
    let mut tags: Vec<(&'static str, Arc<str>)> = Vec::new();
    for (key, value) in own {
        match tags.binary_search_by_key(&key, |(other, _)| other) {
            Ok(index) => tags[index].1 = value,
            Err(index) => tags.insert(index, (key, value)),
        }
    }
    tags.into()
}

impl PartialEq for MetricName {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for MetricName {}

impl PartialOrd for MetricName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// By group, then name, then tags.
impl Ord for MetricName {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.group, self.name).cmp(&(other.group, other.name)).then_with(|| self.tags.cmp(&other.tags))
    }
}

impl Hash for MetricName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.group, self.name, &self.tags).hash(state);
    }
}

/// `producer-metrics:record-send-total{client-id=a}`.
impl fmt::Display for MetricName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.group, self.name)?;
        for (index, (key, value)) in self.tags().enumerate() {
            write!(f, "{}{key}={value}", if index == 0 { "{" } else { "," })?;
        }
        f.write_str(if self.tags.is_empty() { "" } else { "}" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_equal_by_name_group_and_tags() {
        let of = |description, tag: &str| MetricName::new("n", "g", description, tags([("topic", Arc::from(tag))]));
        assert_eq!(of("one", "a"), of("another", "a"));
        assert_ne!(of("one", "a"), of("one", "b"));
        assert_eq!(of("one", "a").to_string(), "g:n{topic=a}");
        assert_eq!(MetricName::new("n", "g", "", tags([])).to_string(), "g:n");
    }

    #[test]
    fn tags_are_sorted_and_the_last_of_a_key_counts() {
        let tags = tags([("topic", "a"), ("client-id", "c"), ("topic", "b")].map(|(key, value)| (key, value.into())));
        let name = MetricName::new("n", "g", "", tags);
        assert_eq!(name.tags().collect::<Vec<_>>(), [("client-id", "c"), ("topic", "b")]);
        assert_eq!((name.tag("topic"), name.tag("partition")), (Some("b"), None));
        assert_eq!(name.to_string(), "g:n{client-id=c,topic=b}");
    }
}
