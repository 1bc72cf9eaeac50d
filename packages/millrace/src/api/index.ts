// The API's public surface.

export { createApi } from "./create-api.ts";
export type { Api } from "./create-api.ts";
export type { ApiDependencies } from "./dependencies.ts";
export type { DeployTarget, WorkerStatus, WorkerTrace } from "./deploy-target.ts";
export type { Authenticate, Principal } from "./principal.ts";
export { tokenAuthenticator } from "./authentication.ts";
