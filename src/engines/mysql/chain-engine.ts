import { createFamilyChainEngine } from '../mysql-family/chain/create-chain-engine.js';
import { mysqlBrand } from './brand.js';

export const mysqlChainEngine = createFamilyChainEngine(mysqlBrand);
