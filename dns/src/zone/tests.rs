//! Zones for tests, written as lines, and what building must get right beside what `answer`'s tests show.

use federation_types::ClusterName;
use federation_types::endpoint::{Clusters, Endpoint, Port, Slice};

use super::{Service, Zone, ZoneOptions, build};
use crate::name::Name;

/// A zone of lines: `service NAMESPACE/NAME [headless]`, `cluster NAME [complete]` and
/// `slice CLUSTER NAMESPACE/NAME PORT:NUMBER/PROTOCOL,… [HOST=]ADDRESS[!]…` where `!` is not ready.
pub(crate) fn inputs(lines: &str) -> (Vec<Service>, Clusters) {
    let (mut services, mut clusters) = (Vec::new(), Clusters::new());
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<_> = line.split_whitespace().collect();
        let named =
            |word: &str| word.split_once('/').map(|(ns, name)| (ns.to_owned(), name.to_owned())).expect("ns/name");
        match words[0] {
            "service" => {
                let (namespace, name) = named(words[1]);
                services.push(Service { namespace, name, headless: words.get(2) == Some(&"headless") });
            }
            "cluster" => {
                let cluster = clusters.entry(ClusterName::new(words[1]).expect("a name")).or_default();
                cluster.complete = words.get(2) == Some(&"complete");
            }
            "slice" => {
                let (namespace, service) = named(words[2]);
                let cluster = ClusterName::new(words[1]).expect("a name");
                let ports = words[3].split(',').map(port).collect();
                let endpoints = words[4..].iter().map(|word| endpoint(word)).collect();
                let slice = Slice { cluster: cluster.clone(), namespace, service, ports, endpoints };
                clusters.entry(cluster).or_default().slices.push(slice);
            }
            other => panic!("{other}"),
        }
    }
    (services, clusters)
}

fn port(word: &str) -> Port {
    let (name, rest) = word.split_once(':').expect("name:number/protocol");
    let (number, protocol) = rest.split_once('/').expect("number/protocol");
    Port {
        name: name.to_owned(),
        number: number.parse().expect("a port"),
        protocol: protocol.to_owned(),
        app_protocol: None,
    }
}

fn endpoint(word: &str) -> Endpoint {
    let (hostname, rest) = word.split_once('=').map_or((None, word), |(host, rest)| (Some(host.to_owned()), rest));
    let ready = !rest.ends_with('!');
    let addresses = vec![rest.trim_end_matches('!').parse().expect("an address")];
    Endpoint { addresses, ready, serving: ready, terminating: false, hostname, zone: None, pod: None }
}

pub(crate) fn zone(options: &ZoneOptions, lines: &str) -> Zone {
    let (services, clusters) = inputs(lines);
    build(options, &services, &clusters, 7)
}

fn addresses(zone: &Zone, name: &str) -> Vec<String> {
    let node = zone.node(Name::parse(name).expect("a name").wire()).expect("exists");
    node.a.iter().map(ToString::to_string).chain(node.aaaa.iter().map(ToString::to_string)).collect()
}

const WEB: &str = "web.test.svc.clusterset.local";

#[test]
fn clusters_take_turns_whatever_their_sizes() {
    let lines = "service test/web
        slice west test/web :80/TCP 10.2.0.1
        slice east test/web :80/TCP 10.1.0.3 10.1.0.1
        slice east test/web :80/TCP 10.1.0.2 10.1.0.1
        slice north test/web :80/TCP 10.3.0.1 10.2.0.1";
    let zone = zone(&ZoneOptions::default(), lines);
    assert_eq!(addresses(&zone, WEB), ["10.1.0.1", "10.2.0.1", "10.1.0.2", "10.3.0.1", "10.1.0.3"]);
}

#[test]
fn addresses_that_would_mislead_are_not_told() {
    let lines = "service test/web
        slice east test/web :80/TCP 127.0.0.1 169.254.169.254 0.0.0.0 224.0.0.1 255.255.255.255 10.9.9.9 10.0.0.1
        slice east test/web :80/TCP ::1 :: fe80::1 ff02::1 ::ffff:127.0.0.1 ::ffff:10.9.9.9 fd00::1";
    let own = vec!["10.9.9.9".parse().expect("an address")];
    let strict = ZoneOptions { own_addresses: own, ..ZoneOptions::default() };
    assert_eq!(addresses(&zone(&strict, lines), WEB), ["10.0.0.1", "fd00::1"]);
    let playground = ZoneOptions { allow_loopback: true, ..strict };
    let mut told = addresses(&zone(&playground, lines), WEB);
    told.sort();
    assert_eq!(told, ["10.0.0.1", "127.0.0.1", "::1", "fd00::1"]);
}

#[test]
fn names_that_are_too_long_are_left_out_and_nothing_else() {
    let (namespace, name) = ("n".repeat(63), "s".repeat(63));
    let (cluster, host) = ("c".repeat(63), "h".repeat(63));
    let lines = format!(
        "service {namespace}/{name} headless\nslice {cluster} {namespace}/{name} http:80/TCP {host}=10.0.0.1 h=10.0.0.2"
    );
    let zone = zone(&ZoneOptions::default(), &lines);
    let own = format!("{name}.{namespace}.svc.clusterset.local");
    assert_eq!(addresses(&zone, &own), ["10.0.0.1", "10.0.0.2"]);
    assert_eq!(addresses(&zone, &format!("h.{cluster}.{own}")), ["10.0.0.2"]);
    let node = zone.node(Name::parse(&own).expect("a name").wire()).expect("exists");
    assert_eq!(node.srv.len(), 1, "an endpoint without a name has no SRV record");
}

#[test]
fn reading_a_service() {
    let read = |spec| Service::read(&serde_json::json!({"metadata": {"namespace": "n", "name": "s"}, "spec": spec}));
    assert!(!read(serde_json::json!({"clusterIP": "10.0.0.1"})).expect("exported").headless);
    assert!(read(serde_json::json!({"clusterIP": "None"})).expect("exported").headless);
    assert_eq!(read(serde_json::json!({"type": "ExternalName"})), None);
    assert_eq!(Service::read(&serde_json::json!({})), None);
}

#[test]
fn the_same_inputs_give_the_same_zone_and_many_are_quick() {
    let mut lines = String::new();
    for n in 0..2000 {
        lines.push_str(&format!("service ns{}/svc{n}\n", n % 50));
        for cluster in ["east", "west", "north"] {
            lines.push_str(&format!(
                "slice {cluster} ns{}/svc{n} http:80/TCP 10.{}.{}.1 10.{}.{}.2\n",
                n % 50,
                n / 250,
                n % 250,
                n / 250,
                n % 250
            ));
        }
    }
    let (services, clusters) = inputs(&lines);
    let since = std::time::Instant::now();
    let zone = build(&ZoneOptions::default(), &services, &clusters, 7);
    println!("{} names in {:?}", zone.len(), since.elapsed());
    assert_eq!(zone.len(), 5 + 50 + 2000 * 3);
}
