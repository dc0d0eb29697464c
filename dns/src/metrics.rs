//! Counters of the DNS data plane: one shard a worker, so that answering never shares a line of memory.
//! Knows names and text format; must not know who serves them.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::answer::Transport;
use crate::wire::Rcode;

const RCODES: [(Rcode, &str); 7] = [
    (Rcode::NoError, "NOERROR"),
    (Rcode::FormErr, "FORMERR"),
    (Rcode::ServFail, "SERVFAIL"),
    (Rcode::NxDomain, "NXDOMAIN"),
    (Rcode::NotImp, "NOTIMP"),
    (Rcode::Refused, "REFUSED"),
    (Rcode::BadVers, "BADVERS"),
];

/// All shards.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    shards: Vec<Arc<Shard>>,
}

/// One worker's counters.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Shard {
    transport: Transport,
    answers: [AtomicU64; RCODES.len()],
    dropped: AtomicU64,
}

impl Shard {
    /// Counts one packet; none for one that was not answered.
    pub(crate) fn count(&self, rcode: Option<Rcode>) {
        let counter = rcode.and_then(|rcode| RCODES.iter().position(|(known, _)| *known == rcode));
        counter.map_or(&self.dropped, |at| &self.answers[at]).fetch_add(1, Ordering::Relaxed);
    }
}

impl Metrics {
    pub(crate) fn shard(&mut self, transport: Transport) -> Arc<Shard> {
        let shard = Arc::new(Shard { transport, answers: Default::default(), dropped: AtomicU64::new(0) });
        self.shards.push(Arc::clone(&shard));
        shard
    }

    /// Appends everything in the Prometheus text format.
    pub fn render(&self, out: &mut String) {
        let mut write = || -> std::fmt::Result {
            writeln!(out, "# HELP fedgate_dns_answers_total Answers by transport and response code.")?;
            writeln!(out, "# TYPE fedgate_dns_answers_total counter")?;
            for (transport, name) in [(Transport::Udp, "udp"), (Transport::Tcp, "tcp")] {
                for (at, (_, rcode)) in RCODES.iter().enumerate() {
                    let count = self.sum(transport, |shard| &shard.answers[at]);
                    writeln!(out, "fedgate_dns_answers_total{{transport=\"{name}\",rcode=\"{rcode}\"}} {count}")?;
                }
            }
            writeln!(out, "# HELP fedgate_dns_dropped_total Packets that were not answered: no query at all.")?;
            writeln!(out, "# TYPE fedgate_dns_dropped_total counter")?;
            for (transport, name) in [(Transport::Udp, "udp"), (Transport::Tcp, "tcp")] {
                let count = self.sum(transport, |shard| &shard.dropped);
                writeln!(out, "fedgate_dns_dropped_total{{transport=\"{name}\"}} {count}")?;
            }
            Ok(())
        };
        write().expect("writing to a string does not fail");
    }

    fn sum(&self, transport: Transport, counter: impl Fn(&Shard) -> &AtomicU64) -> u64 {
        let shards = self.shards.iter().filter(|shard| shard.transport == transport);
        shards.map(|shard| counter(shard).load(Ordering::Relaxed)).sum()
    }
}
