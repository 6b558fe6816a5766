//! Topics that come into being because somebody asks for them.
//!
//! In Kafka a broker with `auto.create.topics.enable` does this when it is asked for metadata; here there is no such
//! request, so clients say when they miss a topic.

use crate::broker::OFFSETS_TOPIC;
use crate::cluster::Cluster;
use crate::controller::{CreatableTopic, is_internal_topic, validate_topic_name};
use crate::error::{Error, ErrorCode};

impl Cluster {
    /// Whether the broker's `auto.create.topics.enable` is on.
    #[inline]
    pub(crate) fn auto_creates_topics(&self) -> bool {
        self.inner.config.auto_create_topics_enable
    }

    /// Creates a topic that a client misses, if the broker's `auto.create.topics.enable` is on: with `num.partitions` and
    /// `default.replication.factor`, or as one of Kafka's own. When it returns without an error, the topic is there.
    ///
    /// `INVALID_TOPIC_EXCEPTION` for what cannot be a topic's name. `UNKNOWN_TOPIC_OR_PARTITION`, as if nobody had tried,
    /// where it is off and where creating fails (a name that collides with another's, too many partitions, one of Kafka's
    /// own topics that is not built): whether that will do later, nobody knows. Closed.
    pub(crate) fn maybe_auto_create_topic(&self, name: &str) -> Result<(), Error> {
        self.check_open()?;
        if self.image().topic(name).is_some() {
            return Ok(());
        }
        validate_topic_name(name)?;
        if self.auto_creates_topics() {
            // Another client may be faster, and that is as good.
            drop(self.auto_create_topic(name));
            if self.image().topic(name).is_some() {
                return Ok(());
            }
        }
        let code = ErrorCode::UnknownTopicOrPartition;
        Err(Error::new(code, format!("topic {name}: {}", code.message())))
    }

    fn auto_create_topic(&self, name: &str) -> Result<(), Error> {
        if name == OFFSETS_TOPIC {
            return self.inner.create_offsets_topic().map(drop);
        }
        if is_internal_topic(name) {
            return Err(ErrorCode::UnknownTopicOrPartition.into());
        }
        let topic = CreatableTopic {
            name: name.to_owned(),
            partitions: -1,
            replication_factor: -1,
            assignments: Vec::new(),
            configs: Default::default(),
        };
        self.create_topics(vec![topic], false).into_iter().try_for_each(|created| created.map(drop))
    }
}
