'use strict';

// The function of the rehearsal.

module.exports = (context) => ({ hello: context.body.name });
