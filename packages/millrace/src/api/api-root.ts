// Where the API begins.

export const apiRoot = "/client/v4";
