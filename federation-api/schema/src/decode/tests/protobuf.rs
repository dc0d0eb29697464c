//! Protobuf bodies: a real one, made-up ones and broken ones.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::super::{DecodeError, Decoded, Expected, Format, decode};
use crate::facts::{Resource, kubernetes};

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn bytes(tag: u64, inner: &[u8]) -> Vec<u8> {
    [varint(tag << 3 | 2), varint(inner.len() as u64), inner.to_vec()].concat()
}

fn int(tag: u64, value: u64) -> Vec<u8> {
    [varint(tag << 3), varint(value)].concat()
}

fn envelope(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let meta = [bytes(1, api_version.as_bytes()), bytes(2, kind.as_bytes())].concat();
    [b"k8s\0".to_vec(), bytes(1, &meta), bytes(2, raw), bytes(3, b""), bytes(4, b"")].concat()
}

fn resource(plural: &str) -> &'static Resource {
    kubernetes().resources().find(|resource| resource.plural == plural).expect(plural)
}

fn read(plural: &str, body: &[u8]) -> Result<Decoded, DecodeError> {
    decode(kubernetes(), &Expected::object(resource(plural)), body, Format::Protobuf)
}

/// Protocol: N4
#[test]
fn what_kubectl_sends_for_a_config_map() {
    let meta = [bytes(1, b"a"), bytes(2, b""), bytes(3, b"default"), bytes(5, b""), bytes(8, b"")].concat();
    let label = bytes(11, &[bytes(1, b"k"), bytes(2, b"v")].concat());
    let meta = bytes(1, &[meta, label, int(7, 0)].concat());
    let data = bytes(2, &[bytes(1, b"key"), bytes(2, "wört".as_bytes())].concat());
    let binary = bytes(3, &[bytes(1, b"bin"), bytes(2, &[0, 255])].concat());
    let value = read("configmaps", &envelope("v1", "ConfigMap", &[meta, data, binary].concat())).expect("fine").value;
    assert_eq!(
        value,
        json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"key": "wört"}, "binaryData": {"bin": "AP8="},
            "metadata": {"name": "a", "namespace": "default", "labels": {"k": "v"}}})
    );
}

/// Protocol: N4
#[test]
fn special_messages_are_known() {
    let quantity = |text: &str| bytes(1, text.as_bytes());
    let limit = bytes(1, &[bytes(1, b"cpu"), bytes(2, &quantity("1000m"))].concat());
    let probe = bytes(10, &bytes(1, &bytes(2, &bytes(2, &[int(1, 1), int(2, 0), bytes(3, b"http")].concat()))));
    let ports = bytes(6, &int(3, 80));
    let container = bytes(2, &[bytes(1, b"c"), bytes(2, b""), ports, bytes(8, &limit), probe, int(16, 0)].concat());
    let volume = bytes(1, &[bytes(1, b"v"), bytes(2, &bytes(2, b""))].concat());
    let time = bytes(8, &[int(1, 1_700_000_000), int(2, 5)].concat());
    let spec = bytes(2, &[volume, container, int(4, 0), int(11, 0)].concat());
    let raw = [bytes(1, &[bytes(1, b"p"), time].concat()), spec, bytes(3, b"")].concat();
    let value = read("pods", &envelope("v1", "Pod", &raw)).expect("fine").value;
    assert_eq!(
        value,
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "creationTimestamp": "2023-11-14T22:13:20Z"},
            "spec": {"volumes": [{"name": "v", "emptyDir": {}}], "terminationGracePeriodSeconds": 0, "containers": [{
                "name": "c", "ports": [{"containerPort": 80}], "resources": {"limits": {"cpu": "1"}},
                "livenessProbe": {"httpGet": {"port": "http"}}}]}})
    );
}

#[test]
fn repeated_parts_are_merged_and_packed_numbers_are_read() {
    let groups = [bytes(14, &bytes(4, &[varint(5), varint(6)].concat())), bytes(14, &int(4, 7))].concat();
    let raw = [bytes(2, &bytes(10, b"n")), bytes(2, &groups)].concat();
    let value = read("pods", &envelope("v1", "Pod", &raw)).expect("fine").value;
    assert_eq!(value["spec"], json!({"nodeName": "n", "securityContext": {"supplementalGroups": [5, 6, 7]}}));
}

#[test]
fn an_embedded_object_may_be_protobuf_itself() {
    let inner = envelope("v1", "ConfigMap", &bytes(1, &bytes(1, b"in")));
    let raw = bytes(2, &bytes(1, &inner));
    let value = read("controllerrevisions", &envelope("apps/v1", "ControllerRevision", &raw)).expect("fine").value;
    assert_eq!(value["data"], json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "in"}}));
    let json = bytes(2, &bytes(1, br#"{"a":1}"#));
    let value = read("controllerrevisions", &envelope("apps/v1", "ControllerRevision", &json)).expect("fine").value;
    assert_eq!(value["data"], json!({"a": 1}));
}

#[test]
fn broken_messages_are_named() {
    let nested = |inner: &[u8]| envelope("v1", "ConfigMap", &bytes(1, inner));
    for (body, told) in [
        (b"{}".to_vec(), "does not start with the expected prefix"),
        (b"k8s\0\x0a".to_vec(), "unexpected end of message"),
        (b"k8s\0\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01".to_vec(), "unexpected end of message"),
        (b"k8s\0\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01".to_vec(), "a varint overflows"),
        (nested(&bytes(1, b"\xff")), "metadata.name: invalid UTF-8"),
        (nested(&int(1, 1)), "metadata.name: wrong wire type: expected bytes"),
        (nested(&bytes(7, b"x")), "metadata.generation: wrong wire type: expected a varint"),
        (nested(&bytes(8, &int(1, i64::MAX as u64))), "metadata.creationTimestamp: a time is out of range"),
        (nested(b"\x0b"), "metadata: a wire type is not supported"),
        (nested(b"\x02\x01"), "metadata: a tag is zero"),
        ([b"k8s\0".to_vec(), bytes(3, b"gzip")].concat(), "an encoded envelope is not supported"),
        (envelope("v1", "Secret", b""), "the path takes only objects of kind ConfigMap"),
        (envelope("v2", "ConfigMap", b""), "does not match the expected API version (v1)"),
    ] {
        let error = read("configmaps", &body).expect_err(told).to_string();
        assert!(error.contains(told), "{error}");
    }
}

/// Protocol: N4
#[test]
fn our_kinds_have_no_protobuf_form() {
    let body = envelope("fedgate.dev/v1alpha1", "Cluster", &bytes(1, &bytes(1, b"east")));
    let error = read("clusters", &body).expect_err("no form").to_string();
    assert!(error.contains("the kind has no protobuf form"), "{error}");
}

#[test]
fn recursion_ends() {
    // JSONSchemaProps{not: JSONSchemaProps{…}}
    let schema = (0..5000).fold(Vec::new(), |inner: Vec<u8>, _| bytes(27, &inner));
    let version = bytes(7, &[bytes(1, b"v1"), bytes(4, &bytes(1, &schema))].concat());
    let raw = bytes(2, &version);
    let body = envelope("apiextensions.k8s.io/v1", "CustomResourceDefinition", &raw);
    let error = read("customresourcedefinitions", &body).expect_err("deep").to_string();
    assert!(error.contains("exceeded max depth"), "{error}");
    let many = envelope("v1", "Pod", &bytes(2, &bytes(2, b"").repeat(1_000_001)));
    assert!(read("pods", &many).expect_err("many").to_string().contains("more than 1000000 values"));
}

/// Upstream's round-trip fixture of an Ingress: every field is set.
const INGRESS: &str = "\
    azhzAAofChRuZXR3b3JraW5nLms4cy5pby92MRIHSW5ncmVzcxKQBQrgAgoJbmFtZVZhbHVlEhFnZW5lcmF0ZU5hbWVWYWx1ZRoObmFtZXNwYW\
    NlVmFsdWUiDXNlbGZMaW5rVmFsdWUqCHVpZFZhbHVlMhRyZXNvdXJjZVZlcnNpb25WYWx1ZTgHQggIzaHmuwQQAEoICM2r8MoEEABQCloYCgls\
    YWJlbHNLZXkSC2xhYmVsc1ZhbHVlYiIKDmFubm90YXRpb25zS2V5EhBhbm5vdGF0aW9uc1ZhbHVlajUKCWtpbmRWYWx1ZRoJbmFtZVZhbHVlIg\
    h1aWRWYWx1ZSoPYXBpVmVyc2lvblZhbHVlMAE4AXIPZmluYWxpemVyc1ZhbHVligFiCgxtYW5hZ2VyVmFsdWUSDm9wZXJhdGlvblZhbHVlGg9h\
    cGlWZXJzaW9uVmFsdWUiCAjN4s3/AxAAMg9maWVsZHNUeXBlVmFsdWU6BAoCe31CEHN1YnJlc291cmNlVmFsdWUS7QEKQxolCg1hcGlHcm91cF\
    ZhbHVlEglraW5kVmFsdWUaCW5hbWVWYWx1ZSIaCgluYW1lVmFsdWUSDQoJbmFtZVZhbHVlEAISHQoKaG9zdHNWYWx1ZRIPc2VjcmV0TmFtZVZh\
    bHVlGnAKCWhvc3RWYWx1ZRJjCmEKXwoJcGF0aFZhbHVlEkMaJQoNYXBpR3JvdXBWYWx1ZRIJa2luZFZhbHVlGgluYW1lVmFsdWUiGgoJbmFtZV\
    ZhbHVlEg0KCW5hbWVWYWx1ZRACGg1wYXRoVHlwZVZhbHVlIhVpbmdyZXNzQ2xhc3NOYW1lVmFsdWUaOwo5CjcKB2lwVmFsdWUSDWhvc3RuYW1l\
    VmFsdWUiHQgBEg1wcm90b2NvbFZhbHVlGgplcnJvclZhbHVlGgAiAA==";

#[test]
fn every_field_of_an_ingress_arrives() {
    let body = STANDARD.decode(INGRESS).expect("base64");
    let value = read("ingresses", &body).expect("fine").value;
    assert_eq!(value["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"], "nameValue");
    assert_eq!(value["metadata"]["managedFields"][0]["fieldsV1"], json!({}));
    assert_eq!(value["status"]["loadBalancer"]["ingress"][0]["ports"][0]["port"], 1);
}

/// Protocol: N4
#[test]
fn mutated_bodies_never_panic() {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let ingress = STANDARD.decode(INGRESS).expect("base64");
    let json =
        br#"{"kind":"Pod","apiVersion":"v1","spec":{"containers":[{"name":"c","ports":[{"containerPort":80}]}]}}"#;
    let yaml = b"kind: Pod\nspec:\n  containers:\n  - &a {name: c}\n  - *a\n  - {<<: *a, image: 'x'}\n";
    let pods = Expected::object(resource("pods"));
    let seeds = [
        (Expected::object(resource("ingresses")), ingress, Format::Protobuf),
        (pods, json.to_vec(), Format::Json),
        (pods, yaml.to_vec(), Format::Yaml),
    ];
    let mut fine = 0;
    for (expected, body, format) in seeds {
        for _ in 0..4000 {
            let mut body = body.clone();
            for _ in 0..=random() % 4 {
                let at = random() as usize % body.len();
                match random() % 4 {
                    0 => body[at] = random() as u8,
                    1 => body.insert(at, random() as u8),
                    2 if body.len() > 1 => drop(body.remove(at)),
                    _ => body.truncate(at.max(1)),
                }
            }
            fine += usize::from(decode(kubernetes(), &expected, &body, format).is_ok());
        }
    }
    eprintln!("{fine} of 12000 still decode");
}
