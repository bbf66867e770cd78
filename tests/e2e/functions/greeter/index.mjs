// An AWS Lambda handler behind an API Gateway, as its author wrote it.
export const handler = async (event, context) => {
  const { name = "nobody" } = event.queryStringParameters ?? {};
  console.info(`greeting ${name} in ${context.functionName}`);
  return {
    statusCode: 201,
    headers: { "content-type": "text/plain; charset=utf-8", "x-method": event.requestContext.http.method },
    body: Buffer.from(`Hello, ${name}!`).toString("base64"),
    isBase64Encoded: true,
  };
};
