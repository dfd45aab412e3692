//! A victim that is the subreaper of its descendants and reaps them at once. As soon as the PID of
//! a dead group leader is free, that is, no process, group or session has it, the victim forks a
//! process with this PID, which leads a group of its own.
#![expect(unsafe_code, reason = "prctl and waitpid have no safe form here")]

use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;

use super::roles::{Habit, Place, Role};
use super::victim::{REAPED, Slot, answer, fork_at, send};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::support::prelude::*;

/// Milliseconds between two attempts to reuse a PID that is not free yet.
const RETRY: u16 = 1;

/// Makes this process a subreaper. Must be called before the children are forked.
pub fn prepare() {
    // SAFETY: no memory is involved.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) }, 0);
}

/// The main loop of the victim, with its slot and socket first, followed by those of its
/// descendants.
pub fn run(role: &'static Role, slots: &'static [Slot], channels: &[UnixStream]) -> ! {
    let roles = role.all();
    let place = |so: &dyn Fn(&&Role) -> bool| {
        let found = roles.iter().skip(1).position(so);
        found.expect("among the roles") + 1
    };
    let reuser = place(&|role| role.habit == Habit::ReusesPid);
    let leader = place(&|role| role.place == Place::Group && role.habit == Habit::Dies);
    let channel = channels[0].as_raw_fd();
    let members = 1..slots.len().min(roles.len());
    let absent = |slot: &Slot| slot.pid.load(Ordering::Acquire) == 0;
    let born = members.filter(|&index| index != reuser).map(|n| &slots[n]);
    let born: Vec<&Slot> = born.collect();
    // A child stores its PID only when it runs, and pidfd_open(2) needs the PID.
    while born.iter().any(|slot| absent(slot)) {
        std::thread::yield_now();
    }
    let number = slots[leader].pid.load(Ordering::Acquire);
    let life = |slot: &&Slot| pidfd(slot.pid.load(Ordering::Acquire));
    let living = born.iter().map(life).collect::<Result<_, _>>();
    let mut living: Vec<OwnedFd> = living.expect("only this process reaps them");
    send(channel, b"r");
    let mut wanted = true;
    loop {
        let mut polls = vec![PollFd::new(channels[0].as_fd(), PollFlags::POLLIN)];
        polls.extend(
            living
                .iter()
                .map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)),
        );
        let is_dead = || slots[leader].status.load(Ordering::Relaxed) != 0;
        let retries = is_dead() && wanted;
        let timeout = if retries {
            RETRY.into()
        } else {
            PollTimeout::NONE
        };
        poll(&mut polls, timeout).expect("nothing interrupts it");
        let is_ready = |poll: &PollFd| poll.any().unwrap_or(false);
        let ready: Vec<bool> = polls.iter().map(is_ready).collect();
        if ready[0] {
            answer(channel);
        }
        let mut ended = ready[1..].iter();
        living.retain(|_| !ended.next().is_some_and(|ended| *ended));
        reap_all(&slots[1..roles.len()]);
        if wanted && is_dead() {
            wanted = fork_at(number, roles[reuser], &slots[reuser..], &channels[reuser..]).is_err();
        }
    }
}

/// Stores the wait status of each dead child before it reaps the child: this process may be killed
/// in between, and then the harness inherits the children.
fn reap_all(slots: &[Slot]) {
    loop {
        let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        // SAFETY: zeros are a valid siginfo, which outlives the call; the fields read are those of
        // CHLD.
        let (pid, code, status) = unsafe {
            let mut from: libc::siginfo_t = std::mem::zeroed();
            libc::waitid(libc::P_ALL, 0, &raw mut from, flags);
            (from.si_pid(), from.si_code, from.si_status())
        };
        let has_exited = code == libc::CLD_EXITED;
        let status = if has_exited { status << 8 } else { status };
        if pid == 0 {
            return;
        }
        let is_its = |slot: &&Slot| slot.pid.load(Ordering::Relaxed) == pid;
        if let Some(slot) = slots.iter().find(is_its) {
            slot.status.store(status | REAPED, Ordering::Release);
        }
        // SAFETY: the status is not asked for.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
    }
}
