//! [`HostFiles`] by a thread of their own, so that who asks needs neither capabilities nor files.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::procfs::{HostFiles, ProcessFacts};
use crate::confine::{self, Part};

enum Question {
    Pids,
    Process(u32),
    Cgroups,
    User(u32),
}

enum Answer {
    Pids(Vec<u32>),
    Process(Option<ProcessFacts>),
    Cgroups(Vec<(u64, String)>),
    User(Option<String>),
}

/// Asks the thread, and waits for its answer: some microseconds more than looking.
#[derive(Debug)]
pub struct AskedFiles {
    questions: SyncSender<Question>,
    answers: Receiver<Answer>,
}

impl AskedFiles {
    /// Starts the thread `host-files`. It ends when the last question can have been asked.
    ///
    /// # Errors
    /// No thread can be had.
    pub fn start(files: impl HostFiles + 'static) -> io::Result<Self> {
        let (questions, asked) = sync_channel(1);
        let (answer, answers) = sync_channel(1);
        std::thread::Builder::new()
            .name("host-files".to_owned())
            .spawn(move || {
                confine::enter(Part::HostFiles, &[]);
                while let Ok(question) = asked.recv() {
                    let answered = match question {
                        Question::Pids => Answer::Pids(files.pids()),
                        Question::Process(pid) => Answer::Process(files.process(pid)),
                        Question::Cgroups => Answer::Cgroups(files.cgroups()),
                        Question::User(uid) => Answer::User(files.user(uid)),
                    };
                    if answer.send(answered).is_err() {
                        break;
                    }
                }
            })?;
        Ok(Self { questions, answers })
    }

    /// `None` when the thread is gone: then nothing is known.
    fn ask(&self, question: Question) -> Option<Answer> {
        self.questions.send(question).ok()?;
        self.answers.recv().ok()
    }
}

impl HostFiles for AskedFiles {
    fn pids(&self) -> Vec<u32> {
        match self.ask(Question::Pids) {
            Some(Answer::Pids(pids)) => pids,
            _ => Vec::new(),
        }
    }

    fn process(&self, pid: u32) -> Option<ProcessFacts> {
        match self.ask(Question::Process(pid)) {
            Some(Answer::Process(facts)) => facts,
            _ => None,
        }
    }

    fn cgroups(&self) -> Vec<(u64, String)> {
        match self.ask(Question::Cgroups) {
            Some(Answer::Cgroups(groups)) => groups,
            _ => Vec::new(),
        }
    }

    fn user(&self, uid: u32) -> Option<String> {
        match self.ask(Question::User(uid)) {
            Some(Answer::User(name)) => name,
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::source::procfs::RealFiles;

    #[test]
    fn answers_are_those_of_the_files() {
        let (plain, asked) = (
            RealFiles::new(),
            AskedFiles::start(RealFiles::new()).unwrap(),
        );
        let own = std::process::id();
        assert!(asked.pids().contains(&own));
        assert_eq!(asked.process(own), plain.process(own));
        assert_eq!(asked.process(u32::MAX), None);
        assert_eq!(asked.user(0), plain.user(0));
        assert_eq!(asked.cgroups().first(), plain.cgroups().first());
    }
}
