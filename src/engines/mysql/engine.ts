import { createFamilyEngine } from '../mysql-family/create-engine.js';
import { mysqlBrand } from './brand.js';

export const mysqlEngine = createFamilyEngine(mysqlBrand);
