//! Who is who: member ids are random, and differ between the two.

use brokerless::oracle::{Described, Identity, Joined, Synced};
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::ConsumerProtocolSubscription;
use kafka_protocol::protocol::Encodable;

use crate::ask::{Id, SLOTS};
use crate::op::Facts;
use crate::wire::text;

/// What each side knows of the members.
#[derive(Default)]
pub(crate) struct Book {
    /// Member ids by slot, the last one last.
    pub(crate) ids: [Vec<String>; SLOTS],
    pub(crate) generations: [i32; SLOTS],
    /// Whom the leader of the last generation assigns to.
    members: Vec<String>,
    leader: String,
    pub(crate) protocol: Option<String>,
}

impl Book {
    pub(crate) fn id(&self, slot: usize, id: Id) -> String {
        let last = |slot: usize| self.ids[slot].last().cloned().unwrap_or_default();
        match id {
            Id::Own => last(slot),
            Id::Other => last(SLOTS - 1 - slot),
            Id::Empty => String::new(),
            Id::Unknown => "nobody".to_owned(),
        }
    }

    pub(crate) fn who(&self, group: &str, slot: usize, id: Id, generation: i32, instance: bool) -> Identity {
        Identity {
            group_id: group.to_owned(),
            generation_id: generation,
            member_id: self.id(slot, id),
            group_instance_id: instance.then(|| format!("i{slot}")),
        }
    }

    /// Member ids are random: names instead.
    pub(crate) fn name(&self, id: &str) -> String {
        for (slot, ids) in self.ids.iter().enumerate() {
            if let Some(place) = ids.iter().position(|known| known == id) {
                return format!("m{slot}.{place}");
            }
        }
        if id.is_empty() || id == "nobody" { id.to_owned() } else { "somebody".to_owned() }
    }

    pub(crate) fn joined(&mut self, slot: usize, is_old: bool, joined: &Joined) -> Facts {
        if !joined.member_id.is_empty()
            && joined.member_id != "nobody"
            && !self.ids.iter().flatten().any(|id| *id == joined.member_id)
        {
            self.ids[slot].push(joined.member_id.clone());
        }
        let mut facts = Facts::one("join", joined.error);
        facts.add("generation", joined.generation_id);
        // Version 3 has neither protocol types nor instance ids, and no null.
        match is_old {
            true => facts.add("protocol", joined.protocol_name.as_deref().unwrap_or_default()),
            false => facts.add("protocol", format!("{:?} {:?}", joined.protocol_type, joined.protocol_name)),
        }
        facts.add("leader", self.name(&joined.leader));
        facts.add("skip assignment", joined.skip_assignment);
        facts.add("member", self.name(&joined.member_id));
        let mut members: Vec<_> = joined
            .members
            .iter()
            .map(|(id, instance, metadata)| {
                let instance = instance.as_ref().filter(|_| !is_old);
                format!("{} {instance:?} {}", self.name(id), metadata.escape_ascii())
            })
            .collect();
        members.sort();
        facts.add("members", format!("{members:?}"));
        if joined.error == 0 {
            self.generations[slot] = joined.generation_id;
            self.protocol.clone_from(&joined.protocol_name);
            if joined.leader == joined.member_id {
                self.leader.clone_from(&joined.leader);
                self.members = joined.members.iter().map(|(id, _, _)| id.clone()).collect();
            }
        }
        facts
    }

    pub(crate) fn described(&self, group: &Described) -> Facts {
        let mut facts = Facts::one("describe", group.error);
        facts.add("state", &group.state);
        facts.add("protocol", format!("{:?} {:?}", group.protocol_type, group.protocol));
        let member = |(id, instance, metadata, assignment): &(String, Option<String>, Bytes, Bytes)| {
            let (metadata, assignment) = (metadata.escape_ascii(), assignment.escape_ascii());
            format!("{} {instance:?} {metadata} {assignment}", self.name(id))
        };
        let mut members: Vec<_> = group.members.iter().map(member).collect();
        members.sort();
        facts.add("members", format!("{members:?}"));
        facts
    }

    pub(crate) fn synced(is_old: bool, synced: &Synced) -> Facts {
        let mut facts = Facts::one("sync", synced.error);
        if !is_old {
            facts.add("protocol", format!("{:?} {:?}", synced.protocol_type, synced.protocol_name));
        }
        facts.add("assignment", synced.assignment.escape_ascii());
        facts
    }

    /// What the leader gives to whom: names, so that it is the same on both sides.
    pub(crate) fn assignments(&self, leader: &str) -> Vec<(String, Bytes)> {
        match leader == self.leader && !leader.is_empty() {
            true => self.members.iter().map(|id| (id.clone(), Bytes::from(format!("to {}", self.name(id))))).collect(),
            false => Vec::new(),
        }
    }
}

/// What a member with these protocols says of itself.
pub(crate) fn metadata(kind: &str, slot: usize, protocol: &str) -> Bytes {
    let mut bytes = BytesMut::new();
    match kind {
        "consumer" => {
            let topics = if slot == 0 { vec![text("t")] } else { vec![text("t"), text(protocol)] };
            bytes.put_i16(0);
            ConsumerProtocolSubscription::default().with_topics(topics).encode(&mut bytes, 0).expect("a subscription");
        }
        _ => bytes.put_slice(format!("{slot} {protocol}").as_bytes()),
    }
    bytes.freeze()
}
