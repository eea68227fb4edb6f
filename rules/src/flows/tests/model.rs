//! The map against a model that keeps every flow: it may lose a tag for want of room, and never
//! answers with a tag while a flow with another tag is live under the same id.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const IDS: u64 = 12;
const TAGS: u16 = 4;

#[derive(Debug, Clone)]
enum Step {
    /// A flow with the id of this number and this tag.
    Begin(u64, u16),
    /// The end of one of the flows in flight.
    End(prop::sample::Index),
    /// Seconds pass.
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

/// Every flow there ever was.
#[derive(Default)]
struct Model {
    flows: Vec<Flow>,
}

struct Flow {
    id: u64,
    code: LaneCode,
    admission: Admission,
    began_s: u32,
    ended_s: Option<u32>,
}

impl Flow {
    fn is_live(&self, now_s: u32) -> bool {
        match self.ended_s {
            None => now_s < self.began_s + LIMITS.stream_life_s,
            Some(ended_s) => now_s < ended_s + LIMITS.linger_s,
        }
    }
}

impl Model {
    fn live(&self, now_s: u32) -> impl Iterator<Item = &Flow> {
        self.flows.iter().filter(move |flow| flow.is_live(now_s))
    }

    fn tags(&self, id: u64, now_s: u32) -> BTreeSet<LaneCode> {
        self.live(now_s).filter(|flow| flow.id == id).map(|flow| flow.code).collect()
    }
}

/// A map of a few buckets beside its model.
struct Pair {
    buckets: Vec<[u8; BUCKET_BYTES]>,
    /// Buckets that had more live ids than room once; these may lose tags from then on.
    overflowed: BTreeSet<usize>,
    ids: Vec<FlowId>,
    model: Model,
    now_s: u32,
}

impl Pair {
    fn new(buckets: usize, seed: u64) -> Self {
        let spread = |n: u64| {
            let mixed = (n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(seed);
            FlowId((mixed ^ mixed >> 31).wrapping_mul(0xBF58_476D_1CE4_E5B9))
        };
        Self {
            buckets: vec![Bucket::default().encode(); buckets],
            overflowed: BTreeSet::new(),
            ids: (0..IDS).map(spread).collect(),
            model: Model::default(),
            now_s: NOW_S,
        }
    }

    fn place(&self, id: u64) -> (FlowId, usize) {
        let flow = self.ids[id as usize];
        (flow, (flow.0 % self.buckets.len() as u64) as usize)
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Begin(id, tag) => {
                let ((flow, at), code) = (self.place(*id), LaneCode(*tag));
                let mut bucket = Bucket::decode(&self.buckets[at]);
                let admission = bucket.begin(flow, code, self.now_s, &LIMITS);
                self.buckets[at] = bucket.encode();
                let (id, began_s) = (*id, self.now_s);
                self.model.flows.push(Flow { id, code, admission, began_s, ended_s: None });
                let in_bucket: BTreeSet<u64> =
                    self.model.live(self.now_s).map(|f| f.id).filter(|id| self.place(*id).1 == at).collect();
                if in_bucket.len() > WAYS {
                    self.overflowed.insert(at);
                } else if !self.overflowed.contains(&at) {
                    assert!(!admission.evicted() && !admission.refused(), "there was room");
                }
            }
            Step::End(index) => {
                let mut open: Vec<usize> = (0..self.model.flows.len()).collect();
                open.retain(|at| self.model.flows[*at].ended_s.is_none());
                if !open.is_empty() {
                    self.end(*index.get(&open));
                }
            }
            Step::Wait(seconds) => self.now_s += seconds,
        }
    }

    fn end(&mut self, flow: usize) {
        let (id, admission) = (self.model.flows[flow].id, self.model.flows[flow].admission);
        let (flow_id, at) = self.place(id);
        let mut bucket = Bucket::decode(&self.buckets[at]);
        bucket.end(flow_id, admission, self.now_s, &LIMITS);
        self.buckets[at] = bucket.encode();
        self.model.flows[flow].ended_s = Some(self.now_s);
    }

    fn check(&self) {
        for id in 0..IDS {
            let (flow, at) = self.place(id);
            let answer = Bucket::decode(&self.buckets[at]).lookup(flow, self.now_s);
            let tags = self.model.tags(id, self.now_s);
            if let Lookup::Tag(code) = answer {
                assert!(tags.iter().all(|tag| *tag == code), "{code:?} for id {id} with {tags:?} live");
            }
            if !self.overflowed.contains(&at) {
                let exact = match (tags.first(), tags.len()) {
                    (Some(tag), 1) => Lookup::Tag(*tag),
                    (None, _) => Lookup::Unknown,
                    _ => Lookup::Ambiguous,
                };
                // A tag that was counted among "others" stays ambiguous while it is live, also when
                // the two that were told apart are gone.
                let others = exact != answer && answer == Lookup::Ambiguous && self.model.saw_third(id);
                assert!(exact == answer || others, "{answer:?} for id {id} with {tags:?} live");
            }
        }
    }
}

impl Model {
    fn saw_third(&self, id: u64) -> bool {
        let tags: BTreeSet<_> = self.flows.iter().filter(|f| f.id == id).map(|f| f.code).collect();
        tags.len() > 2
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn the_map_never_answers_with_a_tag_while_another_is_live(
        buckets in 1..6_usize, seed in any::<u64>(), steps in steps(),
    ) {
        let mut pair = Pair::new(buckets, seed);
        for step in &steps {
            pair.apply(step);
            pair.check();
        }
        let open = (0..pair.model.flows.len()).filter(|at| pair.model.flows[*at].ended_s.is_none());
        for flow in open.collect::<Vec<_>>() {
            pair.end(flow);
            pair.check();
        }
        pair.now_s += 2 * LIMITS.linger_s;
        for id in 0..IDS {
            let (flow, at) = pair.place(id);
            let after = Bucket::decode(&pair.buckets[at]).lookup(flow, pair.now_s);
            prop_assert_eq!(after, Lookup::Unknown, "everything has ended and lingered");
        }
    }

    #[test]
    fn any_bytes_read_as_a_bucket_that_can_be_used(
        mut bytes in prop::collection::vec(any::<u8>(), BUCKET_BYTES), layout in 0..3_u8,
        flow in any::<u64>(), now_s in any::<u32>(),
    ) {
        bytes[0] = layout;
        let mut bucket = Bucket::decode(&bytes);
        let admission = bucket.begin(FlowId(flow), GRAY, now_s, &LIMITS);
        bucket.lookup(FlowId(flow), now_s);
        bucket.end(FlowId(flow), admission, now_s.saturating_add(9), &LIMITS);
        prop_assert_eq!(Bucket::decode(&bucket.encode()), bucket);
    }
}
