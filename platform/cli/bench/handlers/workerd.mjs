// For workerd.
export default {
  fetch() {
    return new Response("hello");
  },
};
