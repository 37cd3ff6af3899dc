//! Keys of TLS 1.2: one master secret for both directions.

use super::cipher::plaintext;
use super::keyring::{Keyring, Label};
use super::schedule;
use super::session::Session;
use super::{Dir, MAX_TRIALS, Via};

impl Session {
    pub(super) fn resolve12(&mut self, ring: &mut Keyring) {
        // The server's hello may have come behind the client's ChangeCipherSpec only by accident.
        for half in [&mut self.up, &mut self.down] {
            if half.base.is_none() {
                half.base = half.walk.changed_at.take();
            }
        }
        let (Some(suite), Some(random)) = (self.suite, self.random()) else {
            return;
        };
        if self.up.keys.is_some() {
            return;
        }
        let (etm, server) = (self.encrypt_then_mac, self.server_random);
        let derive =
            |master: &super::Secret| schedule::key_block(suite, etm, master, &random, &server);
        let master = ring.take(&self.ends, &random, Some(&server), Label::Master12);
        if let Some((up, down)) = master.as_ref().and_then(derive) {
            (self.up.keys, self.down.keys) = (Some(up), Some(down));
            self.via = Some(Via::Random);
            return;
        }
        let latest = ring.latest();
        let after = self
            .backlog
            .iter()
            .map(|held| held.tried[0])
            .min()
            .unwrap_or(latest);
        if !suite.cipher.is_aead() || after >= latest || self.counts.trials >= MAX_TRIALS {
            return;
        }
        let bases = (self.up.base, self.down.base);
        let backlog = &self.backlog;
        let (mut found, mut total) = (None, self.counts.trials);
        let fits = |id, master: &super::Secret| {
            let mut trials = 0;
            let Some((up, down)) = derive(master) else {
                return (0, false);
            };
            let mut plain = plaintext();
            for held in backlog
                .iter()
                .filter(|held| held.whole() && held.tried[0] < id)
            {
                let (keys, base) = match held.dir {
                    Dir::ToServer => (&up, bases.0),
                    Dir::ToClient => (&down, bases.1),
                };
                let Some(base) = base.filter(|_| total < MAX_TRIALS) else {
                    continue;
                };
                (trials, total) = (trials + 1, total + 1);
                let seq = held.number.wrapping_sub(base);
                if keys.open(seq.into(), held.outer, &held.data, &mut plain) {
                    found = Some((up, down));
                    return (trials, true);
                }
            }
            (trials, false)
        };
        ring.search(&self.ends, Some(&random), Label::Master12, after, fits);
        self.counts.trials = total;
        for held in self.backlog.iter_mut().filter(|held| held.whole()) {
            held.tried[0] = latest;
        }
        if let Some((up, down)) = found {
            (self.up.keys, self.down.keys) = (Some(up), Some(down));
            self.via = Some(Via::Trial);
        }
    }
}
