//! Elections of leaders.

use crate::client::admin::Admin;
use crate::cluster::ElectionType;
use crate::error::Result;
use crate::types::TopicPartition;

impl Admin {
    /// Elects leaders, of each partition on its own.
    ///
    /// # Errors
    /// `ELECTION_NOT_NEEDED` where the preferred replica leads already or, for [`ElectionType::Unclean`], anybody does:
    /// with one broker, everywhere. `PREFERRED_LEADER_NOT_AVAILABLE`; `ELIGIBLE_LEADERS_NOT_AVAILABLE`;
    /// `UNKNOWN_TOPIC_OR_PARTITION`.
    pub async fn elect_leaders<P: Into<TopicPartition>>(
        &self,
        election: ElectionType,
        partitions: impl IntoIterator<Item = P>,
    ) -> Vec<Result<()>> {
        let partitions: Vec<TopicPartition> = partitions.into_iter().map(Into::into).collect();
        let count = partitions.len();
        match self.cluster.elect_leaders(election, Some(partitions)) {
            Ok(answers) => answers.into_iter().map(|(_, result)| result).collect(),
            Err(error) => vec![Err(error); count],
        }
    }

    /// Elects leaders of all partitions that need it, and answers for those only: with the partition, or with an error
    /// that names it.
    ///
    /// # Errors
    /// As for [`Admin::elect_leaders`].
    pub async fn elect_all_leaders(&self, election: ElectionType) -> Result<Vec<Result<TopicPartition>>> {
        let answers = self.cluster.elect_leaders(election, None)?;
        Ok(answers.into_iter().map(|(partition, result)| result.map(|()| partition)).collect())
    }
}
