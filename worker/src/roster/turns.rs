//! Whose turn it is: tenants take turns, and within a tenant its endpoints do. A tenant with many endpoints gets no more
//! turns than one with a single one.

use std::collections::{HashMap, VecDeque};

use trunkline_domain::{EndpointId, TenantId};

/// Endpoints that wait for a turn, each at most once (their owner sees to that).
#[derive(Default)]
pub(super) struct Turns {
    tenants: VecDeque<TenantId>,
    /// Never empty while its tenant is in `tenants`.
    endpoints: HashMap<TenantId, VecDeque<EndpointId>>,
}

impl Turns {
    /// Queues an endpoint behind the others of its tenant.
    pub(super) fn push(&mut self, tenant_id: &TenantId, endpoint_id: EndpointId) {
        if let Some(waiting) = self.endpoints.get_mut(tenant_id) {
            waiting.push_back(endpoint_id);
            return;
        }
        self.endpoints.insert(tenant_id.clone(), VecDeque::from([endpoint_id]));
        self.tenants.push_back(tenant_id.clone());
    }

    /// Takes the next endpoint out; its tenant goes to the end of the queue.
    pub(super) fn next(&mut self) -> Option<EndpointId> {
        let tenant_id = self.tenants.pop_front()?;
        let waiting = self.endpoints.get_mut(&tenant_id)?;
        let endpoint_id = waiting.pop_front();
        if waiting.is_empty() {
            self.endpoints.remove(&tenant_id);
        } else {
            self.tenants.push_back(tenant_id);
        }
        endpoint_id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(tenant: usize, endpoint: usize) -> EndpointId {
        EndpointId::from(uuid::Uuid::from_u128((tenant * 1_000 + endpoint) as u128))
    }

    /// Deals turns to tenants whose endpoints have the capacities given, as a plan does.
    fn deal(tenants: &[&[usize]], free: usize) -> Vec<Vec<usize>> {
        let name = |tenant: usize| -> TenantId { format!("tenant-{tenant}").parse().unwrap() };
        let mut turns = Turns::default();
        let mut dealt: Vec<Vec<usize>> = tenants.iter().map(|endpoints| vec![0; endpoints.len()]).collect();
        for (tenant, endpoints) in tenants.iter().enumerate() {
            for (index, capacity) in endpoints.iter().enumerate() {
                if *capacity > 0 {
                    turns.push(&name(tenant), endpoint(tenant, index));
                }
            }
        }
        for _ in 0..free {
            let Some(id) = turns.next() else { break };
            let number = id.as_uuid().as_u128() as usize;
            let (tenant, index) = (number / 1_000, number % 1_000);
            dealt[tenant][index] += 1;
            if dealt[tenant][index] < tenants[tenant][index] {
                turns.push(&name(tenant), id);
            }
        }
        dealt
    }

    #[test]
    fn tenants_share_evenly_whatever_their_number_of_endpoints() {
        assert_eq!(deal(&[&[32], &[32]], 10), [[5], [5]]);
        assert_eq!(deal(&[&[32, 32, 32, 32], &[32]], 8), [vec![1, 1, 1, 1], vec![4]]);
    }

    #[test]
    fn what_one_cannot_use_goes_to_the_others() {
        assert_eq!(deal(&[&[1], &[32]], 10), [[1], [9]]);
        assert_eq!(deal(&[&[0, 2], &[3]], 100), [vec![0, 2], vec![3]]);
    }

    #[test]
    fn nothing_free_is_nothing_dealt() {
        assert_eq!(deal(&[&[32], &[32]], 0), [[0], [0]]);
        assert_eq!(deal(&[], 5), Vec::<Vec<usize>>::new());
    }
}
