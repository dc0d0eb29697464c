//! Annotations about how a Service's endpoints are looked after; all of them ours, ingress-nginx has none.
//!
//! They speak of the Service, so the oldest Ingress that says anything about one speaks for all of its routes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::read::Reader;
use crate::route::{Circuit, HealthCheck, Upkeep};

/// How long requests may wait for a seat where the Ingress does not say.
const PATIENCE: Duration = Duration::from_secs(1);

/// What an Ingress says about its Services.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UpkeepWish {
    pub check: Option<Arc<HealthCheck>>,
    pub circuit: Option<Circuit>,
    /// Milliseconds.
    pub slow_start: Option<u64>,
    pub broken: Option<u32>,
    pub errors: Option<u32>,
    pub percent: Option<u8>,
}

impl UpkeepWish {
    /// `usual` with what is wished.
    #[must_use]
    pub fn over(&self, usual: &Upkeep) -> Upkeep {
        let mut upkeep = usual.clone();
        upkeep.check = self.check.clone().or(upkeep.check);
        upkeep.circuit = self.circuit.or(upkeep.circuit);
        upkeep.slow_start = self.slow_start.unwrap_or(upkeep.slow_start);
        upkeep.ejection.broken = self.broken.unwrap_or(upkeep.ejection.broken);
        upkeep.ejection.errors = self.errors.unwrap_or(upkeep.ejection.errors);
        upkeep.ejection.percent = self.percent.unwrap_or(upkeep.ejection.percent);
        upkeep
    }
}

/// What these annotations say about Services; what is wrong with them is told where all of them are read.
#[must_use]
pub fn of(annotations: &BTreeMap<String, String>) -> Option<UpkeepWish> {
    let wish = wish(&mut Reader::new(annotations));
    (wish != UpkeepWish::default()).then_some(wish)
}

pub(super) fn wish(reader: &mut Reader<'_>) -> UpkeepWish {
    let percent = reader.number("eject-percent");
    UpkeepWish {
        check: check(reader),
        circuit: circuit(reader),
        slow_start: reader.seconds("slow-start").and_then(|time| u64::try_from(time.as_millis()).ok()),
        broken: reader.number("eject-failures"),
        errors: reader.number("eject-errors"),
        percent: percent.and_then(|percent| u8::try_from(percent).ok()),
    }
}

fn check(reader: &mut Reader<'_>) -> Option<Arc<HealthCheck>> {
    let check = reader.parsed("health-check-path", |path| HealthCheck::new(path).ok());
    let (interval, timeout) = (reader.seconds("health-check-interval"), reader.seconds("health-check-timeout"));
    let (fails, passes) = (reader.number("health-check-fails"), reader.number("health-check-passes"));
    let check = check?;
    let interval = interval.unwrap_or(check.interval);
    let timeout = timeout.unwrap_or(check.timeout.min(interval));
    let (fails, passes) = (fails.unwrap_or(check.fails), passes.unwrap_or(check.passes));
    match check.paced(interval, timeout).and_then(|check| check.believing(fails, passes)) {
        Ok(check) => Some(Arc::new(check)),
        Err(error) => {
            reader.wrong_for("health-check-timeout", &error);
            None
        }
    }
}

fn circuit(reader: &mut Reader<'_>) -> Option<Circuit> {
    let requests = reader.number("max-requests");
    let queue = reader.number("max-waiting");
    let patience = reader.seconds("max-wait");
    let (requests, queue) = (requests? as usize, queue.unwrap_or(0) as usize);
    Some(Circuit { requests, queue, patience: patience.unwrap_or(PATIENCE) })
}
