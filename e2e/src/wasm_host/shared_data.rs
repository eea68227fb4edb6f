//! The memory that all VMs of one `vm_id` share.
//!
//! Source: proxy-wasm-cpp-host `shared_data.cc`, and measured on Envoy 1.40: no delete in the ABI, a
//! compare-and-swap number per key from one counter, a number given for a missing key is ignored.

use std::collections::BTreeMap;

use super::abi::Status;

/// What Envoy allocates per key beyond the key and its value: measured as 158 bytes for a 32-byte key with a
/// 9-byte value.
const OVERHEAD_BYTES: usize = 158 - 32 - 9;

/// Shared data of a whole Envoy process, of every `vm_id`.
#[derive(Debug, Default)]
pub struct SharedData {
    stores: BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, Entry>>,
    last_cas: u32,
    /// Writes still to come that another worker is to get in before.
    contended: u32,
}

/// Never removed; one that a filter "removed" has an empty value.
#[derive(Debug, Clone)]
struct Entry {
    value: Vec<u8>,
    cas: u32,
}

impl SharedData {
    /// How many keys there are, those with an empty value included.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.stores.values().map(BTreeMap::len).sum()
    }

    /// What Envoy has allocated for all keys and values, in bytes.
    #[must_use]
    pub fn allocated_bytes(&self) -> usize {
        let entries = self.stores.values().flatten();
        entries.map(|(key, entry)| key.len() + entry.value.len() + OVERHEAD_BYTES).sum()
    }

    /// The value under a key, `None` if it was never set.
    #[must_use]
    pub fn value(&self, vm_id: &str, key: &[u8]) -> Option<&[u8]> {
        self.stores.get(vm_id.as_bytes())?.get(key).map(|entry| entry.value.as_slice())
    }

    /// Every key and value of a `vm_id`.
    pub fn entries(&self, vm_id: &str) -> impl Iterator<Item = (&[u8], &[u8])> {
        let store = self.stores.get(vm_id.as_bytes()).into_iter().flatten();
        store.map(|(key, entry)| (key.as_slice(), entry.value.as_slice()))
    }

    /// Sets a key as another filter would, whatever its number.
    pub fn overwrite(&mut self, vm_id: &str, key: &[u8], value: &[u8]) {
        let cas = self.next_cas();
        let store = self.stores.entry(vm_id.as_bytes().to_vec()).or_default();
        store.insert(key.to_vec(), Entry { value: value.to_vec(), cas });
    }

    /// The next `writes` conditional writes to existing keys find that another worker was faster.
    pub fn contend(&mut self, writes: u32) {
        self.contended = writes;
    }

    pub(super) fn get(&self, vm_id: &[u8], key: &[u8]) -> Result<(&[u8], u32), Status> {
        let entry = self.stores.get(vm_id).and_then(|store| store.get(key)).ok_or(Status::NotFound)?;
        Ok((&entry.value, entry.cas))
    }

    pub(super) fn set(&mut self, vm_id: &[u8], key: &[u8], value: &[u8], cas: u32) -> Result<(), Status> {
        let fresh = self.next_cas();
        let store = self.stores.entry(vm_id.to_vec()).or_default();
        let Some(entry) = store.get_mut(key) else {
            store.insert(key.to_vec(), Entry { value: value.to_vec(), cas: fresh });
            return Ok(());
        };
        if cas != 0 && self.contended > 0 {
            self.contended -= 1;
            // The other worker wrote the same bytes: only the number tells.
            entry.cas = fresh;
        }
        if cas != 0 && cas != entry.cas {
            return Err(Status::CasMismatch);
        }
        *entry = Entry { value: value.to_vec(), cas: fresh };
        Ok(())
    }

    /// Numbers wrap, and 0 means "any".
    fn next_cas(&mut self) -> u32 {
        self.last_cas = self.last_cas.checked_add(1).unwrap_or(1);
        self.last_cas
    }
}
