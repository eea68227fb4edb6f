//! Bytes by the gigabyte: a program that sends and takes them, in a pod and beside the cluster, and compares each with what
//! it must be.

use std::io::{BufRead, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout};

use canary_lab::ImageSpec;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::shop::Shop;

/// Names the program: a static one, which an image is made of.
const PROGRAM_ENV: &str = "CANARY_BYTES";
const IMAGE: &str = "canary-lab.test/bytes:1";
/// Where it listens in a pod.
pub(crate) const PORT: u16 = 9000;

/// Where the program is on this machine.
#[track_caller]
pub(crate) fn program() -> String {
    std::env::var(PROGRAM_ENV).unwrap_or_else(|_| panic!("{PROGRAM_ENV} is set by cargo xtask"))
}

/// The program's image, given to a lab.
#[track_caller]
pub(crate) fn image(cluster: &Cluster) -> &'static str {
    let image = ImageSpec::new(IMAGE, "/program").file(program(), "/program");
    cluster.lab().expect("CANARY_LAB names a lab").load(&[image], &[]).expect("the image is loaded");
    IMAGE
}

/// A pod that serves, without a sidecar.
pub(crate) fn pod(namespace: &str, image: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "bytes", "namespace": namespace,
            "labels": {"app": "bytes", "sidecar.istio.io/inject": "false"},
        },
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "bytes", "image": image, "args": ["serve", PORT.to_string()]}],
        },
    })
}

/// The same with a Service, `bytes`, until dropped. None where pods are not on this machine.
pub(crate) struct Served<'s> {
    shop: &'s Shop,
}

impl<'s> Served<'s> {
    #[track_caller]
    pub(crate) fn start(shop: &'s Shop) -> Option<Self> {
        if shop.cluster().lab().is_none() {
            eprintln!("no bytes are served: this is no lab of this machine");
            return None;
        }
        let served = Self { shop };
        let namespace = shop.namespace();
        shop.cluster().apply(&[
            pod(namespace, image(shop.cluster())),
            json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": {"name": "bytes", "namespace": namespace},
                "spec": {"selector": {"app": "bytes"}, "ports": [{"name": "tcp-bytes", "port": PORT}]},
            }),
        ]);
        shop.kubectl(&["wait", "--for=condition=Ready", "pod/bytes", "--timeout=60s"]).ok();
        Some(served)
    }

    /// The Service's address.
    #[track_caller]
    pub(crate) fn address(&self) -> String {
        let service = self.shop.cluster().get(&["-n", self.shop.namespace(), "svc", "bytes"]);
        format!("{}:{PORT}", service["spec"]["clusterIP"].as_str().expect("an address"))
    }
}

impl Drop for Served<'_> {
    fn drop(&mut self) {
        self.shop.kubectl(&["delete", "service/bytes", "pod/bytes", "--timeout=60s"]);
    }
}

/// The program that asks, until dropped.
pub(crate) struct Asks {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Asks {
    /// One that was started with pipes; waits until it has reached the one that serves.
    #[track_caller]
    pub(crate) fn of(mut process: Child, way: &str) -> Self {
        let input = process.stdin.take();
        let mut output = BufReader::new(process.stdout.take().expect("a pipe"));
        assert_eq!(line(&mut output), "ready", "{way}");
        Self { process, input, output }
    }

    /// What it answers: seconds of `get BYTES FLOWS` and `put BYTES FLOWS`, microseconds of `echo COUNT`.
    #[track_caller]
    pub(crate) fn ask(&mut self, what: &str) -> Vec<f64> {
        let input = self.input.as_mut().expect("it is open");
        writeln!(input, "{what}").expect("it takes a line");
        let said = line(&mut self.output);
        let numbers = said.split(' ').map(|number| number.parse().unwrap_or_else(|_| panic!("{said}")));
        numbers.collect()
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Asks {
    fn drop(&mut self) {
        // It ends with its input, and takes its agent along.
        drop(self.input.take());
        let _ = self.process.wait();
    }
}

/// The next line; of a program that has ended, none.
pub(crate) fn line(output: &mut impl BufRead) -> String {
    let mut line = String::new();
    output.read_line(&mut line).expect("text");
    line.trim_end().to_owned()
}
