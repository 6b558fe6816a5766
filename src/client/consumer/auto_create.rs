//! Topics that the broker creates because this consumer wants them.

use crate::client::consumer::Consumer;
use crate::error::{ErrorCode, Result};

impl Consumer {
    /// Has the broker create the topics that are subscribed to by name, or assigned by hand, and not there:
    /// `allow.auto.create.topics` here, `auto.create.topics.enable` there. `INVALID_TOPIC_EXCEPTION` for what cannot be a
    /// topic's name.
    pub(super) fn create_missing_topics(&self) -> Result<()> {
        if !self.creates_topics() {
            return Ok(());
        }
        let image = self.cluster.image();
        for topic in self.subscriptions.wanted_topics().filter(|topic| image.topic(topic).is_none()) {
            self.create_missing_topic(topic)?;
        }
        Ok(())
    }

    /// The same for one topic that is asked about.
    pub(super) fn create_missing_topic(&self, topic: &str) -> Result<()> {
        if !self.creates_topics() {
            return Ok(());
        }
        match self.cluster.maybe_auto_create_topic(topic) {
            // Whoever looks the topic up next finds out, and knows what to do.
            Err(error) if error.code() == ErrorCode::UnknownTopicOrPartition => Ok(()),
            result => result,
        }
    }

    fn creates_topics(&self) -> bool {
        self.config.allow_auto_create_topics && self.cluster.auto_creates_topics()
    }
}
