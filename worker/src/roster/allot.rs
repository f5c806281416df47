//! Dividing free attempts: tenants take turns, and within a tenant its endpoints do.

use std::collections::HashMap;

use trunkline_domain::{EndpointId, Lane, TenantId};
use trunkline_store::deliveries::Wanted;

/// An endpoint that may be called now.
pub(super) struct Candidate<'a> {
    pub(super) lane: Lane,
    pub(super) tenant_id: &'a TenantId,
    pub(super) endpoint_id: EndpointId,
    /// How many more attempts it may have under way.
    pub(super) capacity: usize,
    pub(super) only_expedited: bool,
}

/// Deals `free` attempts out one by one. A tenant with many endpoints gets no more turns than one with a single one.
pub(super) fn round_robin(candidates: Vec<Candidate<'_>>, free: usize) -> Vec<Wanted> {
    let mut tenants: Vec<Vec<(Candidate<'_>, usize)>> = Vec::new();
    let mut index_of = HashMap::new();
    for candidate in candidates.into_iter().filter(|candidate| candidate.capacity > 0) {
        let index = *index_of.entry(candidate.tenant_id).or_insert_with(|| {
            tenants.push(Vec::new());
            tenants.len() - 1
        });
        tenants[index].push((candidate, 0));
    }
    let mut left = free;
    let mut turn = 0;
    // Each pass gives every tenant one attempt, which goes to its endpoints in turn.
    while left > 0 {
        let before = left;
        for endpoints in &mut tenants {
            let count = endpoints.len();
            let next = (0..count)
                .map(|step| (turn + step) % count)
                .find(|index| endpoints[*index].1 < endpoints[*index].0.capacity);
            if let (Some(index), true) = (next, left > 0) {
                endpoints[index].1 += 1;
                left -= 1;
            }
        }
        if left == before {
            break;
        }
        turn += 1;
    }
    tenants
        .into_iter()
        .flatten()
        .filter(|(_, dealt)| *dealt > 0)
        .map(|(candidate, dealt)| Wanted {
            lane: candidate.lane,
            endpoint_id: candidate.endpoint_id,
            deliveries_max: u32::try_from(dealt).unwrap_or(u32::MAX),
            only_expedited: candidate.only_expedited,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(tenant: usize, endpoint: usize) -> EndpointId {
        EndpointId::from(uuid::Uuid::from_u128((tenant * 1_000 + endpoint) as u128))
    }

    /// Deals to tenants with the capacities given for each of their endpoints.
    fn deal(tenants: &[&[usize]], free: usize) -> Vec<Vec<u32>> {
        let names: Vec<TenantId> =
            (0..tenants.len()).map(|index| format!("tenant-{index}").parse().unwrap()).collect();
        let mut candidates = Vec::new();
        for (tenant, capacities) in tenants.iter().enumerate() {
            for (index, capacity) in capacities.iter().enumerate() {
                candidates.push(Candidate {
                    lane: Lane::new(0).unwrap(),
                    tenant_id: &names[tenant],
                    endpoint_id: endpoint(tenant, index),
                    capacity: *capacity,
                    only_expedited: false,
                });
            }
        }
        let wanted = round_robin(candidates, free);
        let dealt = |id| wanted.iter().find(|one| one.endpoint_id == id).map_or(0, |one| one.deliveries_max);
        let of_tenant = |(tenant, capacities): (usize, &&[usize])| {
            (0..capacities.len()).map(|index| dealt(endpoint(tenant, index))).collect()
        };
        tenants.iter().enumerate().map(of_tenant).collect()
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
        assert_eq!(deal(&[], 5), Vec::<Vec<u32>>::new());
    }
}
