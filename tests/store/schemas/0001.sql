BEGIN TRANSACTION;
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
CREATE TABLE experts (
	name VARCHAR NOT NULL, 
	next_number INTEGER NOT NULL, 
	live INTEGER, 
	PRIMARY KEY (name)
);
INSERT INTO "experts" VALUES('tickets',9,2);
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
INSERT INTO "schema_version" VALUES(1);
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
COMMIT;
