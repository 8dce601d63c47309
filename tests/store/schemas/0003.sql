BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0003');
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
INSERT INTO "schema_version" VALUES(3);
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
COMMIT;
