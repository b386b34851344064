# CDTR on CUB, its parts (Table V). Without any part it is TS-CAM with this recipe and a single weighted term; CSM and
# OCM are CATR with the schedule and the threshold of CDTR; without SBA it needs no CLIP. Table IX: losses weighted by
# 1/2 each (lambda = 1) in place of learned weights.
base = 'cdtr_deit-s_cub'
cells = {
    'baseline': {
        'model.head.with_csm': False,
        'model.head.with_ocm': False,
        'model.head.with_ski': False,
        'model.head.map_losses.loss_sba': None,
    },
    'csm': {'model.head.with_ocm': False, 'model.head.with_ski': False, 'model.head.map_losses.loss_sba': None},
    'ocm': {'model.head.with_csm': False, 'model.head.with_ski': False, 'model.head.map_losses.loss_sba': None},
    'csm-ocm': {'model.head.with_ski': False, 'model.head.map_losses.loss_sba': None},
    'csm-ocm-ski': {'model.head.map_losses.loss_sba': None},
    'csm-ocm-sba': {'model.head.with_ski': False},
    '': {},
    'fixed-weights': {'model.head.weighting': dict(type='mmwsol.AutomaticWeightedLoss', learned=False)},
}
paper = {
    'cdtr_deit-s_cub_baseline': {'loc/top1': 74.16, 'loc/top5': 86.42, 'loc/gt_known': 89.28},
    'cdtr_deit-s_cub_csm': {'loc/top1': 77.59, 'loc/top5': 90.35, 'loc/gt_known': 93.22},
    'cdtr_deit-s_cub_ocm': {'loc/top1': 76.10, 'loc/top5': 88.89, 'loc/gt_known': 91.58},
    'cdtr_deit-s_cub_csm-ocm': {'loc/top1': 79.62, 'loc/top5': 92.08, 'loc/gt_known': 94.94},
    'cdtr_deit-s_cub_csm-ocm-ski': {'loc/top1': 80.77, 'loc/top5': 93.42, 'loc/gt_known': 96.30},
    'cdtr_deit-s_cub_csm-ocm-sba': {'loc/top1': 80.42, 'loc/top5': 92.90, 'loc/gt_known': 95.88},
    'cdtr_deit-s_cub': {'loc/top1': 81.33, 'loc/top5': 94.06, 'loc/gt_known': 96.89},
    'cdtr_deit-s_cub_fixed-weights': {'loc/top1': 80.39, 'loc/top5': 93.29, 'loc/gt_known': 96.07},
}
