//! Watches: a member in this process need not wait for its next heartbeat to hear of a rebalance.
//!
//! A watch is a request that is answered when the member's next heartbeat would not be answered with success. The answer
//! says nothing; it is the heartbeat's answer that decides, so members that never watch, such as those on a socket, miss
//! no more than the time up to their next heartbeat.

use super::context::Context;
use super::group::ClassicGroup;
use crate::coordinator::group::{HeartbeatRequest, Reply, Token};

impl ClassicGroup {
    /// Keeps the watch, or answers it at once. A later watch of the member replaces an earlier one.
    pub(crate) fn watch(&mut self, cx: &mut Context<'_>, token: Token, request: &HeartbeatRequest) {
        let is_settled = self.validate_heartbeat(request).is_ok();
        match self.members.get_mut(request.member_id.as_str()).filter(|_| is_settled) {
            Some(member) => {
                if let Some(replaced) = member.watching.replace(token) {
                    cx.reply(replaced, Reply::Watch);
                }
            }
            None => cx.reply(token, Reply::Watch),
        }
    }

    /// Every member's next heartbeat will tell it something.
    pub(super) fn answer_watches(&mut self, cx: &mut Context<'_>) {
        for token in self.members.values_mut().filter_map(|member| member.watching.take()) {
            cx.reply(token, Reply::Watch);
        }
    }
}
