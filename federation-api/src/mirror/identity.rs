//! Identity of what the mirror itself adds: it needs a UID and a time like every object.
//!
//! Derived from the cluster's name, so that a restart shows the same object.

use federation_types::ClusterName;
use serde_json::Value;

/// Gives an object of ours a UID that belongs to the cluster, and a creation time.
pub fn stamp(object: &mut Value, cluster: &ClusterName) {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in cluster.as_str().bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    object["metadata"]["uid"] = format!("00000000-0000-4000-8000-{:012x}", hash & 0xffff_ffff_ffff).into();
    object["metadata"]["creationTimestamp"] = "1970-01-01T00:00:00Z".into();
}
