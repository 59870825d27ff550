// Sluice with its hooks on: what the other contenders do not do, it does, and still its figure counts.
import { serveSluice } from "../sluice-app.ts";

await serveSluice();
