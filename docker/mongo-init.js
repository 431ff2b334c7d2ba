// Run once by the mongo image on an empty volume: one user that writes, one that only reads (the API's).
const name = process.env.SSE_DATABASE_NAME;
const target = db.getSiblingDB(name);
target.createUser({
  user: "sse_writer",
  pwd: process.env.SSE_WRITER_PASSWORD,
  roles: [{ role: "readWrite", db: name }],
});
target.createUser({
  user: "sse_reader",
  pwd: process.env.SSE_READER_PASSWORD,
  roles: [{ role: "read", db: name }],
});
