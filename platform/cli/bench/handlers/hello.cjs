// For CloudServe: one call at a time in each worker.
module.exports = () => "hello";
