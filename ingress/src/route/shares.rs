//! How much of a route's requests each cluster gets: `west=20%` moves a fifth there, whatever is near or even.
//!
//! Shares bind as long as somebody there can be asked; after a failure anybody may.

use federation_types::ClusterName;

use crate::route::balance::weighted;
use crate::route::endpoint::Endpoint;

/// Clusters that one route may name.
const NAMED_MAX: usize = 64;
const WHOLE: u32 = 100;

/// Percentages by cluster; what is left goes to the clusters that are not named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shares {
    named: Box<[(ClusterName, u32)]>,
    rest: u32,
}

/// Why a text says nothing about shares.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SharesError {
    #[error("{0:?} is not of the form CLUSTER=20%")]
    Form(String),
    #[error("cluster {0} is named twice")]
    Twice(ClusterName),
    #[error("the shares are more than 100%")]
    TooMuch,
    #[error("more than {NAMED_MAX} clusters are named")]
    TooMany,
}

impl std::str::FromStr for Shares {
    type Err = SharesError;

    fn from_str(text: &str) -> Result<Self, SharesError> {
        let mut named = Vec::<(ClusterName, u32)>::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let form = || SharesError::Form(part.to_owned());
            let (name, percent) = part.split_once('=').ok_or_else(form)?;
            let percent = percent.trim().strip_suffix('%').and_then(|percent| percent.parse::<u32>().ok());
            let name = ClusterName::new(name.trim()).map_err(|_| form())?;
            let percent = percent.filter(|percent| *percent <= WHOLE).ok_or_else(form)?;
            if named.iter().any(|(known, _)| *known == name) {
                return Err(SharesError::Twice(name));
            }
            named.push((name, percent));
            if named.len() > NAMED_MAX {
                return Err(SharesError::TooMany);
            }
        }
        if named.is_empty() {
            return Err(SharesError::Form(text.to_owned()));
        }
        let sum: u32 = named.iter().map(|(_, percent)| percent).sum();
        let rest = WHOLE.checked_sub(sum).ok_or(SharesError::TooMuch)?;
        Ok(Self { named: named.into(), rest })
    }
}

impl std::fmt::Display for Shares {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (number, (name, percent)) in self.named.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(f, "{comma}{name}={percent}%")?;
        }
        Ok(())
    }
}

/// Whom one request goes to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part<'s> {
    Cluster(&'s ClusterName),
    /// The clusters that are not named.
    Others(&'s Shares),
}

impl Shares {
    /// Clusters and their percentages, as they were said.
    #[must_use]
    pub fn named(&self) -> &[(ClusterName, u32)] {
        &self.named
    }

    /// What `draw`, a number out of all 64 bits, falls on.
    pub(super) fn part(&self, draw: u64) -> Part<'_> {
        let weights = self.named.iter().map(|(_, percent)| *percent).chain([self.rest]);
        let drawn = weighted(weights, draw).and_then(|index| self.named.get(index));
        drawn.map_or(Part::Others(self), |(name, _)| Part::Cluster(name))
    }

    /// Whether the cluster of `endpoint` has any share.
    pub(super) fn admits(&self, endpoint: &Endpoint) -> bool {
        let known = self.named.iter().find(|(name, _)| *name == endpoint.key.cluster);
        known.map_or(self.rest > 0, |(_, percent)| *percent > 0)
    }
}

impl Part<'_> {
    pub(super) fn holds(self, endpoint: &Endpoint) -> bool {
        match self {
            Self::Cluster(name) => endpoint.key.cluster == *name,
            Self::Others(shares) => shares.named.iter().all(|(name, _)| endpoint.key.cluster != *name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Shares, SharesError};

    #[test]
    fn shares_are_percentages_of_clusters() {
        let read = |text: &str| text.parse::<Shares>().map(|shares| shares.rest);
        assert_eq!(read("west=20%"), Ok(80));
        assert_eq!(read(" west = 20% , east=80%,"), Ok(0));
        assert_eq!(read("west=0%"), Ok(100));
        let said = " west = 20% , east=80%,".parse::<Shares>().expect("shares").to_string();
        assert_eq!(said, "west=20%,east=80%");
        for bad in ["", ",", "west", "west=", "west=20", "west=x%", "west=-1%", "west=101%", "We st=1%"] {
            assert!(matches!(read(bad), Err(SharesError::Form(_))), "{bad}");
        }
        assert_eq!(read("west=60%,east=41%"), Err(SharesError::TooMuch));
        assert!(matches!(read("west=1%,west=2%"), Err(SharesError::Twice(_))));
        let many = (0..65).map(|n| format!("c{n}=1%")).collect::<Vec<_>>().join(",");
        assert_eq!(read(&many), Err(SharesError::TooMany));
    }
}
