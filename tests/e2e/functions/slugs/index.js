// Makes a title fit for a URL, with a package from npm.
const slugify = require("slugify");

module.exports = async ({ query, method }) => {
  console.log(`slugging ${query.title} for a ${method}`);
  return { slug: slugify(query.title, { lower: true }) };
};
