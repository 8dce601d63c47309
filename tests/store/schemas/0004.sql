BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0004');
CREATE TABLE audit (
	number INTEGER NOT NULL, 
	at_s DOUBLE NOT NULL, 
	actor VARCHAR NOT NULL, 
	action VARCHAR NOT NULL, 
	subject VARCHAR NOT NULL, 
	details JSON NOT NULL, 
	PRIMARY KEY (number)
);
INSERT INTO "audit" VALUES(1,1767312000.0,'os:somebody','key.create','key-1','{"name": "desk"}');
CREATE TABLE comparisons (
	name VARCHAR NOT NULL, 
	candidate INTEGER NOT NULL, 
	live INTEGER NOT NULL, 
	document JSON NOT NULL, 
	PRIMARY KEY (name, candidate, live)
);
INSERT INTO "comparisons" VALUES('tickets',3,2,'{"p_value": 0.25}');
CREATE TABLE datasets (
	hash VARCHAR NOT NULL, 
	document JSON NOT NULL, 
	PRIMARY KEY (hash)
);
INSERT INTO "datasets" VALUES('d1','{"rows": 3}');
CREATE TABLE eval_items (
	run_id VARCHAR NOT NULL, 
	number INTEGER NOT NULL, 
	at_s DOUBLE NOT NULL, 
	status VARCHAR NOT NULL, 
	document JSON NOT NULL, 
	PRIMARY KEY (run_id, number)
);
INSERT INTO "eval_items" VALUES('job-e0687ea05371e406',1,1767312002.0,'pass','{"item": {"q": "\u00e4"}}');
CREATE TABLE evals (
	id VARCHAR NOT NULL, 
	created_s DOUBLE NOT NULL, 
	updated_s DOUBLE NOT NULL, 
	document JSON NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "evals" VALUES('eval_1',1767312000.0,1767312001.0,'{"name": "exact"}');
CREATE TABLE experts (
	name VARCHAR NOT NULL, 
	next_number INTEGER NOT NULL, 
	live INTEGER, 
	PRIMARY KEY (name)
);
INSERT INTO "experts" VALUES('tickets',9,2);
CREATE TABLE files (
	id VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	purpose VARCHAR NOT NULL, 
	bytes BIGINT NOT NULL, 
	sha256 VARCHAR NOT NULL, 
	created_s DOUBLE NOT NULL, 
	expires_s DOUBLE, 
	PRIMARY KEY (id)
);
INSERT INTO "files" VALUES('file-1','train.jsonl','fine-tune',3,'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',1767312000.0,NULL);
CREATE TABLE job_events (
	job_id VARCHAR NOT NULL, 
	number INTEGER NOT NULL, 
	at_s DOUBLE NOT NULL, 
	kind VARCHAR NOT NULL, 
	text VARCHAR NOT NULL, 
	data JSON, 
	PRIMARY KEY (job_id, number)
);
INSERT INTO "job_events" VALUES('job-e0687ea05371e406',1,1767312000.0,'message','Queued.',NULL);
CREATE TABLE jobs (
	id VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	document JSON NOT NULL, 
	"key" VARCHAR, 
	created_s DOUBLE NOT NULL, 
	started_s DOUBLE, 
	finished_s DOUBLE, 
	attempts INTEGER NOT NULL, 
	worker VARCHAR, 
	lease_until_s DOUBLE, 
	wish VARCHAR, 
	result JSON, 
	error JSON, 
	PRIMARY KEY (id), 
	UNIQUE ("key")
);
INSERT INTO "jobs" VALUES('job-e0687ea05371e406','train','queued','{"name": "tickets"}','k',1767312000.0,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE keys (
	id VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	project VARCHAR NOT NULL, 
	role VARCHAR NOT NULL, 
	secret_hash VARCHAR NOT NULL, 
	prefix VARCHAR NOT NULL, 
	created_s DOUBLE NOT NULL, 
	expires_s DOUBLE, 
	revoked_s DOUBLE, 
	last_used_s DOUBLE, 
	requests_per_minute INTEGER, 
	tokens_per_minute INTEGER, 
	spend_per_month DOUBLE, 
	PRIMARY KEY (id), 
	UNIQUE (secret_hash)
);
INSERT INTO "keys" VALUES('key-1','desk','support','member','23188f1d768c3ca56afcfffa49ae9e5ae424881d3de53a68033db59b7a6b5c69','chil_past',1767312000.0,NULL,NULL,NULL,60,NULL,2.5);
CREATE TABLE ledger (
	id VARCHAR NOT NULL, 
	at_s DOUBLE NOT NULL, 
	day VARCHAR NOT NULL, 
	key_id VARCHAR NOT NULL, 
	project VARCHAR NOT NULL, 
	model VARCHAR NOT NULL, 
	answers INTEGER NOT NULL, 
	prompt_tokens INTEGER NOT NULL, 
	cached_tokens INTEGER NOT NULL, 
	answer_tokens INTEGER NOT NULL, 
	machine_s DOUBLE NOT NULL, 
	wait_s DOUBLE NOT NULL, 
	cost DOUBLE NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "ledger" VALUES('chatcmpl-1',1767312000.0,'2026-01-02','key-1','support','tickets@2',1,12,4,7,0.5,0.75,0.000125);
CREATE TABLE meters (
	key_id VARCHAR NOT NULL, 
	minute INTEGER NOT NULL, 
	requests INTEGER NOT NULL, 
	tokens INTEGER NOT NULL, 
	month VARCHAR NOT NULL, 
	spend DOUBLE NOT NULL, 
	PRIMARY KEY (key_id)
);
INSERT INTO "meters" VALUES('key-1',29455200,3,120,'2026-01',0.25);
CREATE TABLE promotions (
	name VARCHAR NOT NULL, 
	position INTEGER NOT NULL, 
	action VARCHAR NOT NULL, 
	version INTEGER NOT NULL, 
	at VARCHAR NOT NULL, 
	forced BOOLEAN NOT NULL, 
	comparison JSON, 
	PRIMARY KEY (name, position)
);
INSERT INTO "promotions" VALUES('tickets',0,'promote',1,'2026-01-01T00:00:00+00:00',0,NULL);
INSERT INTO "promotions" VALUES('tickets',1,'promote',2,'2026-01-02T00:00:00+00:00',1,'{"delta": 0.5}');
CREATE TABLE schema_version (
	number INTEGER NOT NULL
);
INSERT INTO "schema_version" VALUES(4);
CREATE TABLE sessions (
	token_hash VARCHAR NOT NULL, 
	key_id VARCHAR, 
	expires_s DOUBLE NOT NULL, 
	PRIMARY KEY (token_hash)
);
INSERT INTO "sessions" VALUES('afe14612a5d26686a718a3ee293809ce618fcf3167f3aca73bd3c1c1529c9d7b','key-1',4070908800.0);
CREATE TABLE versions (
	name VARCHAR NOT NULL, 
	number INTEGER NOT NULL, 
	adapter_hash VARCHAR NOT NULL, 
	dataset_hash VARCHAR, 
	document JSON NOT NULL, 
	PRIMARY KEY (name, number)
);
INSERT INTO "versions" VALUES('tickets',1,'hash-1',NULL,'{"name": "tickets", "labels": ["\u00e4", "b"]}');
INSERT INTO "versions" VALUES('tickets',2,'hash-2','d1','{"name": "tickets", "labels": ["\u00e4", "b"]}');
INSERT INTO "versions" VALUES('tickets',3,'hash-3','d1','{"name": "tickets", "labels": ["\u00e4", "b"]}');
CREATE INDEX ix_versions_adapter_hash ON versions (adapter_hash);
CREATE INDEX ix_versions_dataset_hash ON versions (dataset_hash);
CREATE INDEX ix_jobs_state ON jobs (state);
CREATE INDEX ix_ledger_at_s ON ledger (at_s);
CREATE TRIGGER audit_no_update BEFORE update ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_no_delete BEFORE delete ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
COMMIT;
