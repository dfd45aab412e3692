//! One target after the other: whom it means is pinned, judged and taken among the recipients, or
//! the miss is noted.

use std::ffi::OsStr;
use std::rc::Rc;

use anyhow::Result;

use crate::event::{Reason, Typed, What};
use crate::find::cgroup::ControlGroup;
use crate::find::filter::{Verdict, Way};
use crate::find::group::ProcessGroup;
use crate::find::names::{self, check_proc};
use crate::find::pidfile::Written;
use crate::find::port::Holders;
use crate::find::recipients::{NamedBy, Place, SourceId, Standing};
use crate::find::select::{Found, Miss};
use crate::find::source::Source;
use crate::find::spared::{is_own_group, own};
use crate::os::pidfd::{Opened, Pinned};
use crate::os::proc;
use crate::plan::Reach;
use crate::target::{Pgid, Pid, Target};

impl Found<'_> {
    /// Finds whom a target means.
    pub fn target(&mut self, target: &Target, way: Way, written: Option<&Written>) -> Result<()> {
        let typed = Rc::new(Typed::target(target.clone()));
        match target {
            Target::Process(pid) | Target::Padded(pid, _) | Target::Token(pid, _) => {
                let rules = &self.recipients.rules;
                // In a list it is as if it were not there, unless the token means another process.
                let is_ignored = way == Way::Input && rules.spared.has(*pid);
                let mut disproof = None;
                let is_meant = |process: &Pinned| {
                    disproof = match (target, written) {
                        (Target::Token(_, inode), _) => {
                            (process.inode()? != *inode).then_some(Reason::Recycled)
                        }
                        (_, Some(written)) if !is_ignored => written.disproves(*pid)?,
                        _ => None,
                    };
                    Ok(disproof.is_none())
                };
                let opened = Pinned::open_if(*pid, |process| rules.judge(process, way, is_meant))?;
                match opened {
                    Opened::Process(process, Some(verdict)) => {
                        self.take(process, verdict, &typed)?;
                    }
                    Opened::Process(_, None) => {
                        if let Some(reason) = disproof {
                            self.miss(&typed, Some(*pid), reason);
                        }
                    }
                    Opened::Absent(absent) => self.miss(&typed, Some(*pid), Reason::Absent(absent)),
                }
            }
            Target::Name(name) => {
                let found = names::named(name, &self.recipients.rules)?;
                if !self.answer(found, &typed)? {
                    let nobody = names::nobody_named(name, &self.recipients.rules)?;
                    self.miss(&typed, None, Reason::Nobody(nobody));
                }
            }
            Target::Port(port, transport) => {
                let holders = Holders::find(*port, *transport, &self.recipients.rules)?;
                let passed_over = holders.passed_over()?;
                self.answer(holders.selected, &typed)?;
                if let Some(reason) = passed_over {
                    self.miss(&typed, None, reason);
                }
            }
            Target::Group(number) if !is_own_group(target) => self.group(*number, &typed)?,
            Target::Group(_) | Target::OwnGroup | Target::Everyone => {}
            Target::Nobody => self.miss(&typed, None, Reason::EmptyWord),
        }
        Ok(())
    }

    /// `-f` and `--cwd` alone.
    pub fn description(&mut self) -> Result<()> {
        let selection = &self.recipients.rules.plan.selection;
        let (text, what) = match (selection.full.first(), &selection.cwd) {
            (Some(text), _) => (text, What::CommandLine),
            (None, Some(directory)) => (directory, What::Directory),
            (None, None) => return Ok(()),
        };
        let typed = Rc::new(Typed {
            text: text.to_string_lossy().into(),
            what,
        });
        let found = names::described(&self.recipients.rules)?;
        if !self.answer(found, &typed)? {
            let nobody = names::nobody_described(&self.recipients.rules, names::processes()?)?;
            self.miss(&typed, None, Reason::Nobody(nobody));
        }
        Ok(())
    }

    fn group(&mut self, number: Pgid, typed: &Rc<Typed>) -> Result<()> {
        let mut groups = self.sources.iter().filter_map(Source::group);
        if groups.any(|group| group.number == number) {
            return Ok(());
        }
        let id = SourceId(self.sources.len());
        match ProcessGroup::pin(number, typed, id, &mut self.recipients)? {
            Some(group) => self.sources.push(Source::Group(group)),
            None => self.miss(typed, None, ProcessGroup::missing(number)),
        }
        Ok(())
    }

    pub fn control_group(&mut self, path: &OsStr) -> Result<()> {
        check_proc()?;
        let plan = self.recipients.rules.plan;
        let typed = ControlGroup::typed(path);
        let id = SourceId(self.sources.len());
        let known = self.recipients.len();
        let found = match ControlGroup::open(path, &typed, id, plan) {
            Ok(mut group) => {
                let refused = group.look_first(&mut self.recipients)?;
                refused.map_or(Ok(group), Err)
            }
            refused => refused,
        };
        let group = match found {
            Ok(group) => group,
            Err(refused) => {
                self.miss(&typed, None, Reason::ControlGroup(refused));
                return Ok(());
            }
        };
        if !plan.selection.narrows() {
            if self.recipients.rules.is_question() && group.unseen > 0 {
                let count = group.unseen;
                let expected = plan.selection.expect.as_ref();
                let expected = expected.map(|name| name.as_encoded_bytes().to_vec());
                let reason = expected.map_or(Reason::OtherNamespace { count }, |expected| {
                    Reason::Unverified { expected }
                });
                self.miss(&typed, None, reason);
            }
        } else if self.recipients.len() == known {
            let members = group.pids()?.into_iter().collect();
            let mut nobody = names::nobody_described(&self.recipients.rules, members)?;
            nobody.hidden |= group.unseen > 0;
            self.miss(&typed, None, Reason::Nobody(nobody));
            return Ok(());
        }
        self.sources.push(Source::Control(group));
        Ok(())
    }

    /// Takes the processes that answer to a description, the spared last. `false` if there are
    /// none; those that have exited since do not count.
    fn answer(&mut self, mut found: Vec<(Pinned, Verdict)>, typed: &Rc<Typed>) -> Result<bool> {
        let is_spared = |verdict: &Verdict| matches!(verdict, Verdict::Takes(Standing::Skipped));
        found.sort_by_key(|(_, verdict)| is_spared(verdict));
        if found.first().is_some_and(|(_, first)| is_spared(first)) {
            // One that /proc hides may answer, too.
            if self.recipients.rules.is_question() && names::hides(&self.recipients.rules)? {
                return Ok(false);
            }
            let mut pids = found.iter().map(|(spared, _)| spared.pid);
            let ancestor = pids.find(|pid| *pid != own());
            let reason = ancestor.map_or(Reason::OnlySigsend, |first| Reason::OnlySpared {
                first,
                name: proc::name(first).unwrap_or_default(),
            });
            self.miss(typed, None, reason);
        }
        let is_answered = !found.is_empty();
        for (process, verdict) in found {
            self.take(process, verdict, typed)?;
        }
        Ok(is_answered)
    }

    /// Admits a process that is meant, or notes why it is refused.
    fn take(&mut self, process: Pinned, verdict: Verdict, typed: &Rc<Typed>) -> Result<()> {
        let standing = match verdict {
            Verdict::Takes(standing) => standing,
            Verdict::Refused(reason) => {
                self.miss(typed, Some(process.pid), reason);
                return Ok(());
            }
        };
        // The spared are roots of trees only if they were identified.
        let is_spared = matches!(standing, Standing::Skipped);
        let is_root = NamedBy::of(typed) == NamedBy::Identity || !is_spared;
        let place = match self.recipients.rules.plan.selection.reach {
            Reach::Tree | Reach::Mixed if is_root => Place::Tree { parent: None },
            _ => Place::Alone,
        };
        self.recipients.admit(process, typed, place, standing)
    }

    fn miss(&mut self, typed: &Rc<Typed>, pid: Option<Pid>, reason: Reason) {
        let typed = Rc::clone(typed);
        self.misses.push(Miss { typed, pid, reason });
    }
}
