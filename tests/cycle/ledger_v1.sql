PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE artefacts (
    cycle INTEGER NOT NULL REFERENCES cycles(id) ON DELETE CASCADE,
    stage TEXT NOT NULL,
    name TEXT NOT NULL,
    path TEXT NOT NULL,                     -- below the state directory
    sha256 TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (cycle, name)
);
INSERT INTO "artefacts" VALUES(1,'ingest','inputs.json','work/2021-03-01T00-delayed-1/inputs.json','0dba4330a1277bafcfa3ce2e1dcd1637b6ed4465169459ee0c89ab124ee488d2',761);
INSERT INTO "artefacts" VALUES(1,'ingest','observations.npz','work/2021-03-01T00-delayed-1/observations.npz','a83ada595edfd2f58ac59060f9673c0ead844fe42c63f50f4db6a4edd2ca4b5b',2530);
INSERT INTO "artefacts" VALUES(1,'assimilate','checked.npz','work/2021-03-01T00-delayed-1/checked.npz','f0b48806f4773d3f2cdf98ae47f24def556c76d14b80c198cc5e0d85474c915f',2534);
INSERT INTO "artefacts" VALUES(1,'assimilate','equivalents.npz','work/2021-03-01T00-delayed-1/equivalents.npz','5cd605a5f45a8feeb4570b995055f02a7398d7b9e21c943367cba0577f310aa0',1073);
INSERT INTO "artefacts" VALUES(1,'reinitialise','initial.npy','work/2021-03-01T00-delayed-1/initial.npy','df6038387af56f767f6b0ad132d5a9680e9f836b00fb8ff31b5a20d68cba27f1',34944);
INSERT INTO "artefacts" VALUES(1,'publish','analysis.nc','products/2021/03/01/00/analysis.nc','8d5e93ba6ec9a2e9137778bb04713541420891d268ecb2349eea86aac752d451',445690);
INSERT INTO "artefacts" VALUES(1,'publish','observations.nc','products/2021/03/01/00/observations.nc','a22a503e8630d22123b3a554e8afdc295b1e16cf82e0cd74bf0b977f22f6f26b',74335);
INSERT INTO "artefacts" VALUES(2,'ingest','inputs.json','work/2021-03-01T12-delayed-1/inputs.json','0dba4330a1277bafcfa3ce2e1dcd1637b6ed4465169459ee0c89ab124ee488d2',761);
INSERT INTO "artefacts" VALUES(2,'ingest','observations.npz','work/2021-03-01T12-delayed-1/observations.npz','0321cdb511463f493604cb0b339ced50e6743ec8d03ed0eb760d5f1b77fee2d8',2543);
INSERT INTO "artefacts" VALUES(2,'forecast','forecast.npy','work/2021-03-01T12-delayed-1/forecast.npy','df6038387af56f767f6b0ad132d5a9680e9f836b00fb8ff31b5a20d68cba27f1',34944);
INSERT INTO "artefacts" VALUES(2,'assimilate','checked.npz','work/2021-03-01T12-delayed-1/checked.npz','1d27b459cb1c2b0254553f03898567ba065084383a302ee3aae482c1ed5e60b5',2552);
INSERT INTO "artefacts" VALUES(2,'assimilate','equivalents.npz','work/2021-03-01T12-delayed-1/equivalents.npz','38e07de3f53d14e40861d7ef9e56377fd5b01f9e6605248544bfc6cf2eb2409c',1918);
INSERT INTO "artefacts" VALUES(2,'reinitialise','initial.npy','work/2021-03-01T12-delayed-1/initial.npy','f6825a3b7bc65d61f7724f76f5728bcdf545446f56ebf453831f1efcfcdd3da7',34944);
INSERT INTO "artefacts" VALUES(2,'publish','analysis.nc','products/2021/03/01/12/analysis.nc','6652191636674c2b1f0e114be59c977983e2df2fb9ac549911aacd6019f12994',439253);
INSERT INTO "artefacts" VALUES(2,'publish','observations.nc','products/2021/03/01/12/observations.nc','b9b43caf5b3036b46dea9cf64911f84dd128792a9eefe05d2486f2038f74f070',74335);
INSERT INTO "artefacts" VALUES(3,'ingest','inputs.json','work/2021-03-02T00-early-1/inputs.json','29ea99ef1f51f55f40947eb0394145530a3414c18a278b492efece44c58b505b',151);
INSERT INTO "artefacts" VALUES(3,'ingest','observations.npz','work/2021-03-02T00-early-1/observations.npz','94652f9bfd8d15c76d6ad3b8c1e96eb95e9ad0923fcc3bde209f3bb8167e4ab1',2062);
INSERT INTO "artefacts" VALUES(3,'forecast','forecast.npy','work/2021-03-02T00-early-1/forecast.npy','f6825a3b7bc65d61f7724f76f5728bcdf545446f56ebf453831f1efcfcdd3da7',34944);
INSERT INTO "artefacts" VALUES(3,'assimilate','checked.npz','work/2021-03-02T00-early-1/checked.npz','94652f9bfd8d15c76d6ad3b8c1e96eb95e9ad0923fcc3bde209f3bb8167e4ab1',2062);
INSERT INTO "artefacts" VALUES(3,'assimilate','equivalents.npz','work/2021-03-02T00-early-1/equivalents.npz','481dfdeeb062256bd82eb0831878e0c13c5821774b3ff2f5a294e325759f389e',600);
INSERT INTO "artefacts" VALUES(3,'reinitialise','initial.npy','work/2021-03-02T00-early-1/initial.npy','f6825a3b7bc65d61f7724f76f5728bcdf545446f56ebf453831f1efcfcdd3da7',34944);
INSERT INTO "artefacts" VALUES(3,'publish','forecast.nc','products/2021/03/02/00/early/forecast.nc','d5802a5d4d7f61eb6c5e6dbf414872ce9ff18334fa43dcf4207d7f4f9810bfaf',436019);
CREATE TABLE cycles (
    id INTEGER PRIMARY KEY,
    time TEXT NOT NULL,
    stream TEXT NOT NULL CHECK (stream IN ('delayed', 'early')),
    version INTEGER NOT NULL,               -- counts reruns; the highest is the one that is valid
    state TEXT NOT NULL,
    background TEXT NOT NULL DEFAULT 'none' CHECK (background IN ('forecast', 'none')),
    base INTEGER REFERENCES cycles(id),     -- the cycle whose analysis the background started from
    reason TEXT NOT NULL DEFAULT '',        -- why it waits, failed, expired or was superseded
    held INTEGER NOT NULL DEFAULT 0,        -- an operator said: not yet
    inputs TEXT NOT NULL DEFAULT '',        -- digest of the soundings it saw
    settings TEXT NOT NULL DEFAULT '',      -- digest of what decides its bytes besides them
    soundings_received INTEGER NOT NULL DEFAULT 0,
    soundings_used INTEGER NOT NULL DEFAULT 0,
    soundings_withheld INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    failed_attempts INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL,
    changed_at TEXT NOT NULL,
    published_at TEXT,
    UNIQUE (time, stream, version)
);
INSERT INTO "cycles" VALUES(1,'2021-03-01T00:00:00Z','delayed',1,'published','none',NULL,'',0,'b0099f3f3d8f69b3632571300321a2d824739b0ec1311c94bc7ac73856f709d0','603430341f7fd275e5a12eb358a598bedee0c42c9656f3b4d30195241a0da2b3',5,4,1,1,0,'2021-03-03T00:00:00Z','2021-03-03T00:00:00Z','2021-03-03T00:00:00Z');
INSERT INTO "cycles" VALUES(2,'2021-03-01T12:00:00Z','delayed',1,'published','forecast',1,'',0,'c61155bdafc1ecaea67d4ae11818195b30318f2ce62ec2ca377cb12a03e171ff','dfaabf2ab15895088e64ec6e80f76d3fec9562f8dd25bc24701152748d4808ec',5,4,1,1,0,'2021-03-03T00:00:00Z','2021-03-03T00:00:00Z','2021-03-03T00:00:00Z');
INSERT INTO "cycles" VALUES(3,'2021-03-02T00:00:00Z','early',1,'published_free_forecast','forecast',2,'',0,'639c1f5495be6e03aa8ddecd96d4672e2db647cc746fa487cf47a686ed9a619a','2db8d6bc2060d7fe2225d3dcfba980e7bff340e0c276da359b65ec165bb08803',0,0,0,1,0,'2021-03-03T00:00:00Z','2021-03-03T00:00:00Z','2021-03-03T00:00:00Z');
INSERT INTO "cycles" VALUES(4,'2021-03-02T00:00:00Z','delayed',1,'pending','none',NULL,'',0,'','',0,0,0,0,0,'2021-03-03T00:00:00Z','2021-03-03T00:00:00Z',NULL);
CREATE TABLE departures (                   -- over the used values, in the channel's units
    cycle INTEGER NOT NULL REFERENCES cycles(id) ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind IN ('omb', 'oma')),
    channel TEXT NOT NULL,
    n INTEGER NOT NULL,
    bias REAL,
    rms REAL,
    PRIMARY KEY (cycle, kind, channel)
);
INSERT INTO "departures" VALUES(1,'oma','t850',4,1.37550354003650454615e-02,2.23971798286919931975e-01);
INSERT INTO "departures" VALUES(1,'oma','u850',4,2.62130916118625267863e-02,1.045816306158075637e+00);
INSERT INTO "departures" VALUES(1,'oma','v850',4,-2.52058007754374924225e-02,4.39331215645928030433e-01);
INSERT INTO "departures" VALUES(1,'oma','z850',4,4.676361083984375e-01,1.53371617744429378227e+00);
INSERT INTO "departures" VALUES(1,'oma','t500',4,-0.255022811889674,0.428600440193019);
INSERT INTO "departures" VALUES(1,'oma','u500',4,5.95259806513786737802e-01,8.70077435709137758657e-01);
INSERT INTO "departures" VALUES(1,'oma','v500',4,-1.55281056300735631481e-01,2.97663446500111228409e-01);
INSERT INTO "departures" VALUES(1,'oma','z500',4,0.253326416015625,1.18714597249582398674e+00);
INSERT INTO "departures" VALUES(2,'omb','t850',4,-2.39296684265139,2.66633925327335585819e+00);
INSERT INTO "departures" VALUES(2,'omb','u850',4,-1.49965467154979692487e+00,2.98303674813586772174e+00);
INSERT INTO "departures" VALUES(2,'omb','v850',4,-2.51104298513374901702e-02,4.04465236066410938065e-01);
INSERT INTO "departures" VALUES(2,'omb','z850',3,-8.61640421549479107454e+00,1.18944093740391316767e+01);
INSERT INTO "departures" VALUES(2,'omb','t500',4,0.000374603271467322,1.31093387504821401456e+00);
INSERT INTO "departures" VALUES(2,'omb','u500',4,-2.77804256081581080195e+00,3.87424445549790386067e+00);
INSERT INTO "departures" VALUES(2,'omb','v500',4,-1.56768205415573208538e-01,2.77599568624451786824e-01);
INSERT INTO "departures" VALUES(2,'omb','z500',4,0.146270751953125,2.55691770387587204984e+01);
INSERT INTO "departures" VALUES(2,'oma','t850',4,-1.92382431030296174867e-01,5.48336851096660415905e-01);
INSERT INTO "departures" VALUES(2,'oma','u850',4,3.37585598230363270744e-02,1.46142469114127715457e+00);
INSERT INTO "departures" VALUES(2,'oma','v850',4,1.89685491845012460521e-01,2.3834244932741716072e-01);
INSERT INTO "departures" VALUES(2,'oma','z850',3,-0.21307373046875,1.84492165052407330882e+00);
INSERT INTO "departures" VALUES(2,'oma','t500',4,1.03373336791975134474e-01,3.77598406861404389811e-01);
INSERT INTO "departures" VALUES(2,'oma','u500',4,-6.8770650625228857411e-01,1.68496041373741944902e+00);
INSERT INTO "departures" VALUES(2,'oma','v500',4,1.95869659306482174487e-01,4.50878317630989178255e-01);
INSERT INTO "departures" VALUES(2,'oma','z500',4,0.136199951171875,3.44862296800903722626e+00);
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    level TEXT NOT NULL CHECK (level IN ('info', 'warning', 'error')),
    cycle INTEGER REFERENCES cycles(id) ON DELETE SET NULL,
    text TEXT NOT NULL
);
INSERT INTO "events" VALUES(1,'2021-03-03T00:00:00Z','info',1,'2021-03-01T00 delayed published with 4 of 5 soundings');
INSERT INTO "events" VALUES(2,'2021-03-03T00:00:00Z','info',2,'2021-03-01T12 delayed published with 4 of 5 soundings');
INSERT INTO "events" VALUES(3,'2021-03-03T00:00:00Z','info',3,'2021-03-02T00 early published as a free forecast: no sounding had a say');
CREATE TABLE notes (key TEXT PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO "notes" VALUES('source_newest','2021-03-01T12:00:00Z');
INSERT INTO "notes" VALUES('source_seen','2021-03-03T00:00:00Z');
CREATE TABLE spread_skill (
    cycle INTEGER NOT NULL REFERENCES cycles(id) ON DELETE CASCADE,
    channel TEXT NOT NULL,
    ratio REAL,
    PRIMARY KEY (cycle, channel)
);
INSERT INTO "spread_skill" VALUES(2,'t850',0.497992448892725);
INSERT INTO "spread_skill" VALUES(2,'u850',7.57369832386668551116e-01);
INSERT INTO "spread_skill" VALUES(2,'v850',5.42020064529815748244e+00);
INSERT INTO "spread_skill" VALUES(2,'z850',7.09396465527952546636e-01);
INSERT INTO "spread_skill" VALUES(2,'t500',7.68525844085137799233e-01);
INSERT INTO "spread_skill" VALUES(2,'u500',6.5510420906394117857e-01);
INSERT INTO "spread_skill" VALUES(2,'v500',8.77793290039220686082e+00);
INSERT INTO "spread_skill" VALUES(2,'z500',5.00299615387856722037e-01);
CREATE TABLE stages (
    cycle INTEGER NOT NULL REFERENCES cycles(id) ON DELETE CASCADE,
    stage TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('running', 'done', 'failed')),
    attempt INTEGER NOT NULL,
    started_at TEXT NOT NULL,
    seconds REAL,
    PRIMARY KEY (cycle, stage)
);
INSERT INTO "stages" VALUES(1,'ingest','done',1,'2021-03-03T00:00:00Z',0.032);
INSERT INTO "stages" VALUES(1,'forecast','done',1,'2021-03-03T00:00:00Z',0.0);
INSERT INTO "stages" VALUES(1,'assimilate','done',1,'2021-03-03T00:00:00Z',0.584);
INSERT INTO "stages" VALUES(1,'reinitialise','done',1,'2021-03-03T00:00:00Z',0.017);
INSERT INTO "stages" VALUES(1,'publish','done',1,'2021-03-03T00:00:00Z',0.136);
INSERT INTO "stages" VALUES(2,'ingest','done',1,'2021-03-03T00:00:00Z',0.036);
INSERT INTO "stages" VALUES(2,'forecast','done',1,'2021-03-03T00:00:00Z',0.028);
INSERT INTO "stages" VALUES(2,'assimilate','done',1,'2021-03-03T00:00:00Z',0.176);
INSERT INTO "stages" VALUES(2,'reinitialise','done',1,'2021-03-03T00:00:00Z',0.017);
INSERT INTO "stages" VALUES(2,'publish','done',1,'2021-03-03T00:00:00Z',0.247);
INSERT INTO "stages" VALUES(3,'ingest','done',1,'2021-03-03T00:00:00Z',0.036);
INSERT INTO "stages" VALUES(3,'forecast','done',1,'2021-03-03T00:00:00Z',0.013);
INSERT INTO "stages" VALUES(3,'assimilate','done',1,'2021-03-03T00:00:00Z',0.176);
INSERT INTO "stages" VALUES(3,'reinitialise','done',1,'2021-03-03T00:00:00Z',0.015);
INSERT INTO "stages" VALUES(3,'publish','done',1,'2021-03-03T00:00:00Z',0.19);
CREATE TABLE tally (                        -- how often cycles came to an end, each time counted
    stream TEXT NOT NULL,
    outcome TEXT NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (stream, outcome)
);
INSERT INTO "tally" VALUES('delayed','published',2);
INSERT INTO "tally" VALUES('early','published_free_forecast',1);
CREATE TABLE value_counts (                 -- status: 'used', 'withheld', or the reason of a rejection
    cycle INTEGER NOT NULL REFERENCES cycles(id) ON DELETE CASCADE,
    channel TEXT NOT NULL,
    status TEXT NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (cycle, channel, status)
);
INSERT INTO "value_counts" VALUES(1,'t850','used',4);
INSERT INTO "value_counts" VALUES(1,'t850','withheld',1);
INSERT INTO "value_counts" VALUES(1,'u850','used',4);
INSERT INTO "value_counts" VALUES(1,'u850','withheld',1);
INSERT INTO "value_counts" VALUES(1,'v850','used',4);
INSERT INTO "value_counts" VALUES(1,'v850','withheld',1);
INSERT INTO "value_counts" VALUES(1,'z850','used',4);
INSERT INTO "value_counts" VALUES(1,'z850','withheld',1);
INSERT INTO "value_counts" VALUES(1,'t500','used',4);
INSERT INTO "value_counts" VALUES(1,'t500','withheld',1);
INSERT INTO "value_counts" VALUES(1,'u500','used',4);
INSERT INTO "value_counts" VALUES(1,'u500','withheld',1);
INSERT INTO "value_counts" VALUES(1,'v500','used',4);
INSERT INTO "value_counts" VALUES(1,'v500','withheld',1);
INSERT INTO "value_counts" VALUES(1,'z500','used',4);
INSERT INTO "value_counts" VALUES(1,'z500','withheld',1);
INSERT INTO "value_counts" VALUES(2,'t850','used',4);
INSERT INTO "value_counts" VALUES(2,'t850','withheld',1);
INSERT INTO "value_counts" VALUES(2,'u850','used',4);
INSERT INTO "value_counts" VALUES(2,'u850','withheld',1);
INSERT INTO "value_counts" VALUES(2,'v850','used',4);
INSERT INTO "value_counts" VALUES(2,'v850','withheld',1);
INSERT INTO "value_counts" VALUES(2,'z850','used',3);
INSERT INTO "value_counts" VALUES(2,'z850','withheld',1);
INSERT INTO "value_counts" VALUES(2,'z850','background',1);
INSERT INTO "value_counts" VALUES(2,'t500','used',4);
INSERT INTO "value_counts" VALUES(2,'t500','withheld',1);
INSERT INTO "value_counts" VALUES(2,'u500','used',4);
INSERT INTO "value_counts" VALUES(2,'u500','withheld',1);
INSERT INTO "value_counts" VALUES(2,'v500','used',4);
INSERT INTO "value_counts" VALUES(2,'v500','withheld',1);
INSERT INTO "value_counts" VALUES(2,'z500','used',4);
INSERT INTO "value_counts" VALUES(2,'z500','withheld',1);
CREATE INDEX cycles_by_state ON cycles (stream, state, time);
COMMIT;
