//! The map against a model that keeps every flow: it may lose a tag for want of room, and never
//! answers with a tag while a flow with another tag is live under the same id.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const IDS: u64 = 24;
const TAGS: u16 = 4;
const LIMITS: Limits = Limits { linger_s: 30 };

#[derive(Debug, Clone)]
enum Step {
    /// A flow with the id of this number and this tag.
    Begin(u64, u16),
    /// The end of one of the flows in flight.
    End(prop::sample::Index),
    /// Seconds pass; the flows in flight renew their leases when these are due.
    Wait(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..IDS, 0..TAGS).prop_map(|(id, tag)| Step::Begin(id, tag)),
        5 => any::<prop::sample::Index>().prop_map(Step::End),
        3 => (0..20_u32).prop_map(Step::Wait),
        1 => (20..90_u32).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..120)
}

struct Flow {
    id: u64,
    code: LaneCode,
    began_s: u32,
    ended_s: Option<u32>,
    lease: Lease,
}

impl Flow {
    /// What the map promises: in flight, or ended less than a linger ago.
    fn must_be_live(&self, now_s: u32) -> bool {
        self.ended_s.is_none_or(|ended_s| now_s < ended_s + LIMITS.linger_s)
    }

    /// What the map may still know.
    fn may_be_live(&self, now_s: u32) -> bool {
        now_s < self.lease.until_s
    }
}

/// A map of a few buckets beside its model.
struct Pair {
    buckets: Vec<Vec<u8>>,
    /// Buckets that had more live ids than room once; these may lose tags from then on.
    overflowed: BTreeSet<usize>,
    ids: Vec<FlowId>,
    flows: Vec<Flow>,
    now_s: u32,
}

impl Pair {
    fn new(buckets: usize, seed: u64) -> Self {
        let spread = |n: u64| {
            let mixed = (n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(seed);
            FlowId((mixed ^ mixed >> 31).wrapping_mul(0xBF58_476D_1CE4_E5B9))
        };
        Self {
            buckets: vec![Bucket::default().bytes().to_vec(); buckets],
            overflowed: BTreeSet::new(),
            ids: (0..IDS).map(spread).collect(),
            flows: Vec::new(),
            now_s: NOW_S,
        }
    }

    fn place(&self, id: u64) -> (FlowId, usize) {
        let flow = self.ids[id as usize];
        (flow, (flow.0 % self.buckets.len() as u64) as usize)
    }

    fn tags(&self, id: u64, is_live: impl Fn(&Flow) -> bool) -> BTreeSet<LaneCode> {
        self.flows.iter().filter(|flow| flow.id == id && is_live(flow)).map(|flow| flow.code).collect()
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Begin(id, tag) => {
                let lease = LIMITS.lease(self.now_s, self.now_s);
                let (id, code, began_s) = (*id, LaneCode(*tag), self.now_s);
                self.flows.push(Flow { id, code, began_s, ended_s: None, lease });
                self.hold(self.flows.len() - 1);
            }
            Step::End(index) => {
                let mut open: Vec<usize> = (0..self.flows.len()).collect();
                open.retain(|at| self.flows[*at].ended_s.is_none());
                if !open.is_empty() {
                    self.flows[*index.get(&open)].ended_s = Some(self.now_s);
                }
            }
            Step::Wait(seconds) => (0..*seconds).for_each(|_| self.tick()),
        }
    }

    fn tick(&mut self) {
        self.now_s += 1;
        for at in 0..self.flows.len() {
            let flow = &mut self.flows[at];
            if flow.ended_s.is_none() && self.now_s >= flow.lease.renew_s {
                flow.lease = LIMITS.lease(flow.began_s, self.now_s);
                self.hold(at);
            }
        }
    }

    fn hold(&mut self, flow: usize) {
        let Flow { id, code, lease, .. } = self.flows[flow];
        let (flow_id, at) = self.place(id);
        let mut bucket = Bucket::read(&self.buckets[at]);
        let held = bucket.hold(flow_id, code, lease.until_s, self.now_s);
        self.buckets[at] = bucket.bytes().to_vec();
        let live = self.flows.iter().filter(|flow| flow.may_be_live(self.now_s));
        let in_bucket: BTreeSet<u64> = live.map(|f| f.id).filter(|id| self.place(*id).1 == at).collect();
        if in_bucket.len() > WAYS {
            self.overflowed.insert(at);
        } else if !self.overflowed.contains(&at) {
            assert_eq!(held, Held::Kept, "there was room");
        }
    }

    fn check(&self) {
        for id in 0..IDS {
            let (flow, at) = self.place(id);
            let answer = Bucket::read(&self.buckets[at]).lookup(flow, self.now_s);
            let must = self.tags(id, |flow| flow.must_be_live(self.now_s));
            let may = self.tags(id, |flow| flow.may_be_live(self.now_s));
            if let Lookup::Tag(code) = answer {
                assert!(must.iter().all(|tag| *tag == code), "{code:?} for id {id} with {must:?} live");
                assert!(may.contains(&code), "{code:?} for id {id} with at most {may:?} live");
            }
            if self.overflowed.contains(&at) {
                continue;
            }
            match (must.first(), may.len()) {
                (None, 0) => assert_eq!(answer, Lookup::Unknown, "id {id}"),
                // A tag renewed while two others were live is known by name once these are gone.
                (Some(_), 1) if self.tags(id, |_| true).len() > 2 => assert_ne!(answer, Lookup::Unknown),
                (Some(tag), 1) => assert_eq!(answer, Lookup::Tag(*tag), "id {id}"),
                (Some(_), _) if must.len() > 1 => assert_eq!(answer, Lookup::Ambiguous, "id {id}"),
                _ => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_200, ..ProptestConfig::default() })]

    #[test]
    fn the_map_never_answers_with_a_tag_while_another_is_live(
        buckets in 1..5_usize, seed in any::<u64>(), steps in steps(),
    ) {
        let mut pair = Pair::new(buckets, seed);
        for step in &steps {
            pair.apply(step);
            pair.check();
        }
        pair.flows.iter_mut().for_each(|flow| flow.ended_s = flow.ended_s.or(Some(pair.now_s)));
        pair.now_s += LEASE_S_MAX + LIMITS.linger_s;
        for id in 0..IDS {
            let (flow, at) = pair.place(id);
            let after = Bucket::read(&pair.buckets[at]).lookup(flow, pair.now_s);
            prop_assert_eq!(after, Lookup::Unknown, "everything has ended and lingered");
        }
    }

    #[test]
    fn any_bytes_read_as_a_bucket_that_can_be_used(
        mut bytes in prop::collection::vec(any::<u8>(), BUCKET_BYTES), layout in 0..3_u8,
        flow in any::<u64>(), now_s in any::<u32>(), until_s in any::<u32>(),
    ) {
        bytes[..4].copy_from_slice(&[layout, 0, 0, 0]);
        let mut bucket = Bucket::read(&bytes);
        bucket.hold(FlowId(flow), GRAY, until_s, now_s);
        bucket.lookup(FlowId(flow), now_s);
        prop_assert_eq!(Bucket::read(bucket.bytes()), bucket);
    }
}
