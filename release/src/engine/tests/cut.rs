//! A controller that dies before each of its writes, and one that carries on.

use super::*;

/// What people ask of a release, and what they then see.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Ask {
    Pass,
    Abort,
    Undo,
}

/// How far a run of asks came, but for when.
#[derive(Debug, PartialEq)]
struct End {
    phase: Phase,
    outcome: Option<Outcome>,
    deployments: BTreeMap<WorkloadRef, Value>,
    lanes: usize,
    history: Vec<String>,
}

impl End {
    fn of(cluster: &Cluster) -> Self {
        let status = cluster.release.status.clone().unwrap_or_default();
        let specs =
            cluster.world.deployments.iter().map(|(name, found)| (name.clone(), found["spec"].clone()));
        Self {
            phase: status.phase,
            outcome: status.outcome,
            deployments: specs.collect(),
            lanes: cluster.world.lanes.len(),
            history: status.history.into_iter().map(|entry| entry.what).collect(),
        }
    }
}

/// A controller's life: how many writes are left to it.
struct Life {
    left: usize,
    written: usize,
}

impl Cluster {
    /// As [`Cluster::run`], by a controller that may die, and then by another.
    fn live(&mut self, life: &mut Life) {
        for _ in 0..80 {
            let before = self.is_like();
            let died = self.turn_of(life);
            self.settle();
            if !died && before == self.is_like() {
                return;
            }
        }
        panic!("it does not come to rest: {:?}", self.release.status);
    }

    /// A turn, and whether it was somebody's last; the next one dies of old age alone.
    fn turn_of(&mut self, life: &mut Life) -> bool {
        self.look();
        let next = next(&self.release, &self.world, None, self.now);
        let due = usize::from(Some(&next.status) != self.release.status.as_ref()) + next.actions.len();
        let dies = due > life.left;
        self.turn(life.left.min(due));
        life.written += due.min(life.left);
        life.left = match (dies, life.left) {
            (true, _) | (_, usize::MAX) => usize::MAX,
            (false, left) => left - due,
        };
        dies
    }
}

fn lives(script: &Script, mut life: Life) -> (End, usize) {
    let mut wanted = release(&["cart", "stock"], &[10.0, 50.0]);
    wanted.spec.keep_warm_seconds = script.keep_warm;
    let mut cluster = Cluster::new(wanted, 3);
    cluster.live(&mut life);
    for ask in script.asks {
        match ask {
            Ask::Pass => cluster.release.spec.passed += 1,
            Ask::Abort => cluster.release.spec.intent = Intent::Abort,
            Ask::Undo => cluster.release.spec.intent = Intent::Undo,
        }
        cluster.live(&mut life);
    }
    cluster.is_over(script.version);
    (End::of(&cluster), life.written)
}

/// What is asked, and how it ends.
struct Script<'a> {
    keep_warm: Option<u32>,
    asks: &'a [Ask],
    phase: Phase,
    version: u8,
}

/// Whatever write the controller dies before, what comes of it is as if it had not.
#[track_caller]
fn check(script: &Script) {
    let (undisturbed, writes) = lives(script, Life { left: usize::MAX, written: 0 });
    assert_eq!(undisturbed.phase, script.phase);
    assert!(writes > 12, "{writes} writes");
    for cut in 0..writes {
        let (end, _) = lives(script, Life { left: cut, written: 0 });
        assert_eq!(end, undisturbed, "dies before write {cut} of {writes}");
    }
}

#[test]
fn a_promotion_is_the_same_whichever_write_the_controller_dies_before() {
    check(&Script { keep_warm: None, asks: &[Ask::Pass, Ask::Pass], phase: Phase::Completed, version: 2 });
}

#[test]
fn an_abort_is_the_same_whichever_write_the_controller_dies_before() {
    check(&Script { keep_warm: None, asks: &[Ask::Abort], phase: Phase::Aborted, version: 1 });
    check(&Script { keep_warm: None, asks: &[Ask::Pass, Ask::Abort], phase: Phase::Aborted, version: 1 });
}

#[test]
fn an_undoing_is_the_same_whichever_write_the_controller_dies_before() {
    for keep_warm in [None, Some(60)] {
        let asks = &[Ask::Pass, Ask::Pass, Ask::Undo];
        check(&Script { keep_warm, asks, phase: Phase::Undone, version: 1 });
    }
}

/// The abort comes while the Deployments roll: some have the new images, and all go back.
#[test]
fn an_abort_in_the_middle_of_a_promotion_is_the_same_whichever_write_the_controller_dies_before() {
    let ends = |mut life: Life| {
        let mut cluster = Cluster::new(release(&["cart", "stock"], &[10.0]), 3);
        cluster.live(&mut life);
        cluster.release.spec.passed = 1;
        // One turn that decides it, one that journals whom it asks, one that asks.
        for _ in 0..3 {
            cluster.turn_of(&mut life);
        }
        cluster.release.spec.intent = Intent::Abort;
        cluster.live(&mut life);
        cluster.is_over(1);
        (End::of(&cluster), life.written)
    };
    let (undisturbed, writes) = ends(Life { left: usize::MAX, written: 0 });
    assert_eq!(undisturbed.phase, Phase::Aborted);
    for cut in 0..writes {
        let (mut end, _) = ends(Life { left: cut, written: 0 });
        // Who was dead when it was to begin has begun less.
        end.history.clone_from(&undisturbed.history);
        assert_eq!(end, undisturbed, "dies before write {cut} of {writes}");
    }
}
