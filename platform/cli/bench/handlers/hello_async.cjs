// For CloudServe: many calls at once in each worker.
module.exports = async () => "hello";
