//! The groups, as [`crossing`](crate::crossing) wants them.

use rdts_core::codis::CodisTopology;
use rdts_core::error::Result;
use rdts_core::slot;
use rdts_core::translate::Target;
use rdts_resp::Reply;

use crate::crossing::Nodes;
use crate::lanes::Control;

/// A group's server executes what has several keys if it has all of them, whatever their slots: so the place of a key is its lane.
pub(super) struct GroupNodes<'a> {
    target: Target,
    controls: &'a mut [Control],
    routes: &'a [usize],
    /// A text for each lane that is in a slot of its group.
    tags: Vec<&'static str>,
}

impl<'a> GroupNodes<'a> {
    pub(super) fn new(
        target: Target,
        topology: &CodisTopology,
        controls: &'a mut [Control],
        routes: &'a [usize],
    ) -> Self {
        debug_assert_eq!(controls.len(), topology.shards().count(), "each group with slots has a lane");
        let first = |lane| (0..slot::codis::SLOTS).find(|slot| routes[usize::from(*slot)] == lane).unwrap_or_default();
        let tags = (0..controls.len()).map(|lane| slot::codis::tag(first(lane))).collect();
        Self { target, controls, routes, tags }
    }
}

impl Nodes for GroupNodes<'_> {
    fn target(&self) -> Target {
        self.target
    }

    async fn call(&mut self, key: &[u8], db: u32, args: &[&[u8]]) -> Result<Reply> {
        let control = &mut self.controls[self.routes[usize::from(slot::codis::slot(key))]];
        control.select(db).await?;
        control.connection.call(args).await
    }

    async fn call_all(&mut self, db: u32, args: &[&[u8]]) -> Result<Reply> {
        let mut last = Reply::Null;
        for control in self.controls.iter_mut() {
            control.select(db).await?;
            let reply = control.connection.call(args).await?;
            if !last.is_error() {
                last = reply;
            }
        }
        Ok(last)
    }

    fn slot(&self, key: &[u8]) -> u16 {
        // At most as many lanes as slots.
        u16::try_from(self.routes[usize::from(slot::codis::slot(key))]).unwrap_or_default()
    }

    fn tag(&self, slot: u16) -> &'static str {
        self.tags[usize::from(slot)]
    }
}
