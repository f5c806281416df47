-- Two questions that the keys do not answer: which payloads one request erased, and which tenants enforce a schema. (No release
-- came before this one, so that both indexes are made on empty tables.)

CREATE INDEX erasures_erasure ON trunkline.erasures (lane, tenant_id, erasure_id, event_id);
-- Asked by every api process every few seconds; it holds only what publishing must look at.
CREATE INDEX event_types_enforced ON trunkline.event_types (tenant_id) WHERE enforced;
