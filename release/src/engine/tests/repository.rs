//! Releases beside a tool that applies Deployments from a repository, over and over.

use super::*;

/// A cluster with such a tool.
struct Applied {
    cluster: Cluster,
    /// What the repository says, by Deployment; nothing: nobody applies it.
    repository: BTreeMap<&'static str, u8>,
    /// How often each side has written an image.
    ours: usize,
    theirs: usize,
}

fn image(cluster: &Cluster, name: &str) -> Value {
    cluster.world.deployments[&of(name)]["spec"]["template"]["spec"]["containers"][0]["image"].clone()
}

impl Applied {
    fn new(repository: &[(&'static str, u8)]) -> Self {
        let cluster = Cluster::new(release(&["cart", "stock"], &[10.0]), 3);
        Self { cluster, repository: repository.iter().copied().collect(), ours: 0, theirs: 0 }
    }

    /// The tool is faster than Deployments roll, and slower than a write is seen.
    fn run(&mut self) {
        for _ in 0..60 {
            let wanted = next(&self.cluster.release, &self.cluster.world, None, self.cluster.now);
            let is_image = |action: &&Action| matches!(action, Action::SetImages { .. });
            self.ours += wanted.actions.iter().filter(is_image).count();
            self.cluster.turn(usize::MAX);
            self.sync();
            self.cluster.settle();
        }
    }

    fn sync(&mut self) {
        for (name, version) in &self.repository {
            let wanted = format!("{name}:{version}");
            if image(&self.cluster, name) != wanted {
                self.theirs += 1;
                self.cluster.change(&of(name), |spec| {
                    spec["template"]["spec"]["containers"][0]["image"] = wanted.as_str().into();
                });
            }
        }
    }
}

#[test]
fn a_repository_that_sets_the_old_image_back_is_not_fought() {
    let mut applied = Applied::new(&[("cart", 1), ("stock", 1)]);
    applied.run();
    assert_eq!(
        (applied.ours, applied.theirs),
        (0, 0),
        "a release leaves the Deployments alone until the end"
    );
    applied.cluster.release.spec.passed = 1;
    applied.run();
    assert_eq!((applied.ours, applied.theirs), (2, 2), "each is asked once");
    assert!(applied.cluster.trouble().contains("give it the new ones"), "{}", applied.cluster.trouble());
    assert_eq!(applied.cluster.share(), Some(10.0), "users stay where they are");
    applied.repository = [("cart", 2), ("stock", 2)].into();
    applied.run();
    assert_eq!((applied.cluster.phase(), applied.ours), (Phase::Completed, 2));
    applied.cluster.is_over(2);
}

#[test]
fn a_repository_that_gets_the_new_images_promotes() {
    let mut applied = Applied::new(&[("cart", 1), ("stock", 1)]);
    applied.run();
    applied.repository.insert("cart", 2);
    applied.run();
    assert_eq!((applied.cluster.phase(), applied.cluster.share()), (Phase::Stepping, Some(10.0)));
    assert!(applied.cluster.trouble().starts_with("StableChanged"), "{}", applied.cluster.trouble());
    applied.repository.insert("stock", 2);
    applied.cluster.release.spec.paused = true;
    applied.run();
    assert_eq!(applied.cluster.trouble(), "Paused: paused");
    applied.cluster.release.spec.paused = false;
    applied.run();
    assert_eq!((applied.cluster.phase(), applied.ours), (Phase::Completed, 0));
    applied.cluster.is_over(2);
}

#[test]
fn a_repository_that_keeps_the_new_images_is_told_and_not_fought() {
    let mut applied = Applied::new(&[("cart", 2)]);
    applied.repository.clear();
    applied.cluster.release.spec.passed = 1;
    applied.run();
    assert_eq!(applied.cluster.phase(), Phase::Completed);
    applied.repository.insert("cart", 2);
    applied.cluster.release.spec.intent = Intent::Undo;
    let before = applied.ours;
    applied.run();
    assert_eq!((applied.ours - before, applied.theirs), (2, 1), "each is asked once");
    assert!(applied.cluster.trouble().contains("the new images again"), "{}", applied.cluster.trouble());
    let mut deleted = Cluster { release: applied.cluster.release.clone(), ..applied.cluster };
    deleted.release.metadata.deletion_timestamp = Some("now".into());
    deleted.run();
    assert_eq!((deleted.phase(), image(&deleted, "cart")), (Phase::Undone, json!("cart:2")));
}

#[test]
fn who_scales_a_deployment_while_it_is_asked_changes_nothing_of_it() {
    let mut cluster = Cluster::new(release(&["cart"], &[10.0]), 3);
    cluster.run();
    cluster.release.spec.passed = 1;
    while cluster.phase() != Phase::Promoting {
        cluster.turn(usize::MAX);
    }
    // It is journalled who is asked, and before that is done an autoscaler comes.
    cluster.turn(1);
    cluster.change(&of("cart"), |spec| spec["replicas"] = 4.into());
    cluster.run();
    assert_eq!(cluster.phase(), Phase::Completed, "{}", cluster.trouble());
    cluster.is_over(2);
}
