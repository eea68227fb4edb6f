//! The streams that are open in a VM, by the number that the proxy gives each.

/// Places of a table that has held a stream.
const PLACES_MIN: usize = 16;

/// Open streams by number. Knows nothing of what a stream does.
///
/// The proxy counts up, so the last bits of numbers spread streams evenly: a look-up rarely sees more than one
/// place. At least half of the places are free; a table never gets smaller.
#[derive(Debug)]
pub struct Streams<S> {
    /// A power of two of them. A stream is at the place that its number's last bits name, or behind it with no
    /// free place between.
    places: Vec<Option<(u32, S)>>,
    open: usize,
}

impl<S> Streams<S> {
    /// No stream.
    #[must_use]
    pub const fn new() -> Self {
        Self { places: Vec::new(), open: 0 }
    }

    /// Adds a stream; one of this number is replaced.
    pub fn open(&mut self, number: u32, stream: S) {
        if self.open >= self.places.len() >> 1 {
            self.grow();
        }
        let at = self.place(number);
        if let Some(place) = self.places.get_mut(at)
            && place.replace((number, stream)).is_none()
        {
            self.open = self.open.saturating_add(1);
        }
    }

    /// The stream of this number.
    pub fn get_mut(&mut self, number: u32) -> Option<&mut S> {
        let at = self.place(number);
        self.places.get_mut(at)?.as_mut().map(|(_, stream)| stream)
    }

    /// Takes the stream of this number out.
    pub fn close(&mut self, number: u32) -> Option<S> {
        let at = self.place(number);
        let (_, stream) = self.places.get_mut(at)?.take()?;
        self.open = self.open.saturating_sub(1);
        self.close_up(at);
        Some(stream)
    }

    /// Where the stream of this number is, or would be.
    fn place(&self, number: u32) -> usize {
        let mut at = self.home(number);
        while let Some(Some((other, _))) = self.places.get(at)
            && *other != number
        {
            at = self.next(at);
        }
        at
    }

    /// Moves streams up that are behind a place that has become free, so that none is cut off from its own.
    fn close_up(&mut self, mut free: usize) {
        let mut at = self.next(free);
        while let Some(Some((number, _))) = self.places.get(at) {
            let home = self.home(*number);
            if self.steps(home, at) >= self.steps(free, at) {
                self.places.swap(free, at);
                free = at;
            }
            at = self.next(at);
        }
    }

    fn grow(&mut self) {
        let places = self.places.len().saturating_mul(2).max(PLACES_MIN);
        let larger = core::iter::repeat_with(|| None).take(places).collect();
        for (number, stream) in core::mem::replace(&mut self.places, larger).into_iter().flatten() {
            let at = self.place(number);
            if let Some(place) = self.places.get_mut(at) {
                *place = Some((number, stream));
            }
        }
    }

    fn home(&self, number: u32) -> usize {
        usize::try_from(number).unwrap_or_default() & self.mask()
    }

    fn next(&self, at: usize) -> usize {
        at.wrapping_add(1) & self.mask()
    }

    /// From one place onward to another.
    fn steps(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & self.mask()
    }

    fn mask(&self) -> usize {
        self.places.len().saturating_sub(1)
    }
}

impl<S> Default for Streams<S> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn there_is_nothing_in_a_table_that_was_never_used() {
        let mut streams = Streams::<u32>::new();
        assert_eq!(streams.get_mut(0), None);
        assert_eq!(streams.close(7), None);
    }

    #[test]
    fn half_of_the_places_stay_free() {
        let mut streams = Streams::new();
        for number in 0..1_000 {
            streams.open(number, ());
        }
        assert_eq!(streams.places.len(), 2_048);
        for number in 0..1_000 {
            assert_eq!(streams.close(number), Some(()));
        }
        assert!(streams.places.iter().all(Option::is_none) && streams.open == 0);
    }

    proptest! {
        /// Numbers of one place more often than the proxy has them.
        #[test]
        fn it_holds_what_a_map_would(
            steps in prop::collection::vec((any::<bool>(), 0_u32..8, 0_u32..4), 0..200),
        ) {
            let (mut streams, mut map) = (Streams::new(), HashMap::new());
            for (step, (opens, low, high)) in (0_u32..).zip(steps) {
                let number = high * 64 + low;
                if opens {
                    streams.open(number, step);
                    map.insert(number, step);
                } else {
                    prop_assert_eq!(streams.close(number), map.remove(&number));
                }
                prop_assert_eq!(streams.open, map.len());
                for (number, stream) in &mut map {
                    prop_assert_eq!(streams.get_mut(*number), Some(stream));
                }
            }
        }
    }
}
