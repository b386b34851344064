# CDTR on CUB, fraction p of the cells that OCM suppresses (Table VII; of .30 only Top-1 Loc can be read).
base = 'cdtr_deit-s_cub'
grid = {'model.head.loss_ocm_s.ratio': {'p-10': 0.10, '': 0.25, 'p-30': 0.30, 'p-35': 0.35, 'p-40': 0.40}}
paper = {
    'cdtr_deit-s_cub_p-10': {'loc/top1': 80.53, 'loc/top5': 93.47, 'loc/gt_known': 96.22},
    'cdtr_deit-s_cub': {'loc/top1': 81.33, 'loc/top5': 94.06, 'loc/gt_known': 96.89},
    'cdtr_deit-s_cub_p-30': {'loc/top1': 81.17},
    'cdtr_deit-s_cub_p-35': {'loc/top1': 80.89, 'loc/top5': 93.88, 'loc/gt_known': 95.98},
    'cdtr_deit-s_cub_p-40': {'loc/top1': 79.85, 'loc/top5': 92.91, 'loc/gt_known': 95.58},
}
figure = dict(x='model.head.loss_ocm_s.ratio', y='loc/gt_known', x_label='p')
