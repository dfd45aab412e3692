//! The order in which the members of stopped trees are killed, so that no death makes the kernel
//! continue a member that has no KILL yet.
//!
//! A stopped process group that becomes orphaned gets HUP and CONT (setpgid(2)): when the last
//! member dies whose parent is in another group of the session, or when that parent dies. A
//! parent's death may send CONT to its children (`PR_SET_PDEATHSIG`). So a group is killed before
//! the groups that its members' parents are in, and in a group children before parents, those
//! members last whose parent is in another group. Groups that form a circle are killed like one,
//! those members last whose death may continue others.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// What the order follows from: the numbers of /proc/PID/stat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    pub pid: i32,
    pub parent: i32,
    pub group: i32,
    pub session: i32,
    /// The session of its parent, which may be outside the trees; 0 if it cannot be read.
    pub session_of_parent: i32,
    /// Whether it may run after HUP, which comes before CONT to an orphaned group: it catches,
    /// ignores or blocks HUP, or that cannot be read.
    pub survives_hangup: bool,
}

impl Member {
    /// One of which only the PID is known.
    pub fn unknown(pid: i32) -> Self {
        Self {
            pid,
            parent: 0,
            group: pid,
            session: pid,
            session_of_parent: 0,
            survives_hangup: true,
        }
    }
}

/// The order of the members, by their places in the list, which has parents before children.
pub fn kill_order(members: &[Member]) -> Vec<usize> {
    let places: BTreeMap<i32, usize> = (0..)
        .zip(members)
        .map(|(place, one)| (one.pid, place))
        .collect();
    let parent = |member: &Member| places.get(&member.parent).map(|place| &members[*place]);
    let parents_elsewhere = members.iter().filter_map(|member| {
        let parent = parent(member).filter(|parent| parent.group != member.group)?;
        Some((member.group, parent.group))
    });
    let groups: BTreeSet<i32> = members.iter().map(|member| member.group).collect();
    let edges: BTreeSet<(i32, i32)> = parents_elsewhere.collect();
    let uncut = ranks(&groups, &edges);
    // Circles are cut at groups that die of HUP.
    let survivors = members.iter().filter(|one| one.survives_hangup);
    let dangerous: BTreeSet<i32> = survivors.map(|one| one.group).collect();
    let is_kept =
        |(first, then): &(i32, i32)| uncut[first] != uncut[then] || dangerous.contains(first);
    let ranks = ranks(&groups, &edges.iter().copied().filter(is_kept).collect());
    // Members whose death may continue members of another group that is killed with theirs.
    let mut triggers: BTreeSet<i32> = BTreeSet::new();
    for member in members {
        match parent(member) {
            Some(parent) if parent.group == member.group => {}
            Some(parent) => {
                if parent.session == member.session {
                    triggers.insert(member.pid);
                }
                if ranks[&parent.group] == ranks[&member.group] {
                    triggers.insert(parent.pid);
                }
            }
            None if ![0, member.session].contains(&member.session_of_parent) => {}
            None => _ = triggers.insert(member.pid),
        }
    }
    let mut places: Vec<usize> = (0..members.len()).collect();
    places.sort_by_key(|place| {
        let member = &members[*place];
        let is_last = triggers.contains(&member.pid);
        (ranks[&member.group], is_last, Reverse(*place))
    });
    places
}

/// A rank for each group: lower ones are killed first. An edge leads from a group to one that must
/// come after it. Groups in circles and between circles have the same rank.
fn ranks(groups: &BTreeSet<i32>, edges: &BTreeSet<(i32, i32)>) -> BTreeMap<i32, usize> {
    let reversed = edges.iter().map(|(first, then)| (*then, *first)).collect();
    let first = peel(groups, edges);
    let rest: BTreeSet<i32> = groups - &first.iter().copied().collect();
    let last = peel(&rest, &reversed).into_iter().rev();
    let middle = rest.iter().map(|group| (*group, first.len()));
    let mut ranks: BTreeMap<i32, usize> = middle.collect();
    ranks.extend(first.into_iter().zip(0..));
    ranks.extend(last.zip(groups.len()..));
    ranks
}

/// The nodes that no edge leads to, then those that no edge from the rest leads to, and so on.
fn peel(nodes: &BTreeSet<i32>, edges: &BTreeSet<(i32, i32)>) -> Vec<i32> {
    let is_inside = |(from, to): &&(i32, i32)| nodes.contains(from) && nodes.contains(to);
    let mut incoming: BTreeMap<i32, usize> = BTreeMap::new();
    for (_, to) in edges.iter().filter(is_inside) {
        *incoming.entry(*to).or_default() += 1;
    }
    let free = nodes.iter().filter(|node| !incoming.contains_key(node));
    let mut peeled: Vec<i32> = free.copied().collect();
    let mut next = 0;
    while let Some(&from) = peeled.get(next) {
        next += 1;
        let outgoing = edges.range((from, i32::MIN)..=(from, i32::MAX));
        for (_, to) in outgoing.filter(is_inside) {
            let count = incoming.entry(*to).or_default();
            *count -= 1;
            if *count == 0 {
                peeled.push(*to);
            }
        }
    }
    peeled
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// PID, parent, group, session.
    fn order(members: &[(i32, i32, i32, i32)]) -> Vec<i32> {
        let members = members.iter().map(|&(pid, parent, group, session)| Member {
            pid,
            parent,
            group,
            session,
            session_of_parent: 5,
            survives_hangup: [11, 13, 16].contains(&pid),
        });
        let members: Vec<Member> = members.collect();
        let order = kill_order(&members).into_iter();
        order.map(|place| members[place].pid).collect()
    }

    #[test]
    fn no_death_orphans_a_group_that_has_no_kill_yet() {
        // One group: children before parents, the root last, which ties it to the session.
        let one = [(10, 1, 10, 5), (11, 10, 10, 5), (12, 11, 10, 5)];
        assert_eq!(order(&one), vec![12, 11, 10]);
        // A group that hangs on its parent in another one.
        let hanging = [(10, 1, 10, 5), (11, 10, 11, 5), (12, 11, 11, 5)];
        assert_eq!(order(&hanging), vec![12, 11, 10]);
        // A shell with jobs.
        let jobs = [
            (10, 1, 10, 10),
            (11, 10, 11, 10),
            (12, 10, 11, 10),
            (13, 10, 13, 10),
            (14, 13, 14, 10),
        ];
        assert_eq!(order(&jobs), vec![12, 11, 14, 13, 10]);
        // The group of a session's leader is tied to it by a grandchild alone.
        let tied = [
            (10, 1, 10, 5),
            (11, 10, 11, 11),
            (12, 11, 12, 11),
            (13, 12, 11, 11),
            (14, 11, 11, 11),
        ];
        assert_eq!(order(&tied), vec![14, 11, 13, 10, 12]);
        // The same where the leader's parent, of another session, is outside the tree.
        assert_eq!(order(&tied[1..]), vec![14, 11, 13, 12]);
        // Two groups that hang on each other, both with a survivor: the root is the last of them.
        let circle = [
            (10, 1, 10, 5),
            (11, 10, 10, 5),
            (16, 11, 16, 5),
            (13, 16, 10, 5),
        ];
        assert_eq!(order(&circle), vec![13, 16, 11, 10]);
        // Such a circle below a root that another group hangs on, too.
        let below = [
            (10, 1, 10, 5),
            (11, 10, 11, 5),
            (16, 11, 16, 5),
            (14, 16, 11, 5),
            (13, 10, 13, 5),
        ];
        assert_eq!(order(&below), vec![13, 14, 16, 11, 10]);
    }

    proptest! {
        #[test]
        fn children_are_killed_before_parents_where_groups_form_no_circle(
            parents in prop::collection::vec((0usize..9, any::<bool>()), 1..12),
        ) {
            // Each process is a child of one before it, in its group or in one of its own.
            let mut members = vec![Member { pid: 100, parent: 1, group: 100, session: 5, session_of_parent: 5, survives_hangup: true }];
            for (pid, (parent, is_own)) in (101..).zip(parents) {
                let above = members[parent % members.len()];
                let group = if is_own { pid } else { above.group };
                members.push(Member { pid, parent: above.pid, group, session: 5, session_of_parent: 5, survives_hangup: true });
            }
            let order = kill_order(&members);
            prop_assert_eq!(order.len(), members.len());
            let rank = |pid: i32| order.iter().position(|place| members[*place].pid == pid);
            for member in &members[1..] {
                prop_assert!(rank(member.pid) < rank(member.parent), "{order:?} {members:?}");
            }
        }
    }
}
