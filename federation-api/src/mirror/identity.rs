//! Identity of what the mirror itself adds: it needs a UID and a time like every object.
//!
//! The UID is derived from the cluster's name, so that a restart shows the same object.

use federation_types::ClusterName;
use serde_json::Value;

/// Gives an object of ours a UID that belongs to the cluster, and the present as its creation time.
pub fn stamp(object: &mut Value, cluster: &ClusterName) {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in cluster.as_str().bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    object["metadata"]["uid"] = format!("00000000-0000-4000-8000-{:012x}", hash & 0xffff_ffff_ffff).into();
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    object["metadata"]["creationTimestamp"] = now.into();
}
