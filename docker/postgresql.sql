-- Run once, when the database is made: workers are ordinary users of it, who own their tables and nothing else.
\set password `cat /run/secrets/sweeps_password`
CREATE ROLE sweeps LOGIN PASSWORD :'password';
CREATE DATABASE sweeps OWNER sweeps;
REVOKE CONNECT ON DATABASE sweeps FROM PUBLIC;
