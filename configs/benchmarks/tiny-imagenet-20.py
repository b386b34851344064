# All methods on tiny-imagenet-20, one small vision transformer from scratch, three seeds.
bases = [
    'ts-cam_small-vit_tiny-imagenet-20',
    'trt_small-vit_tiny-imagenet-20',
    'sat_small-vit_tiny-imagenet-20',
    'catr_small-vit_tiny-imagenet-20',
    'cdtr_small-vit_tiny-imagenet-20_noclip',
    'locloc_small-vit_tiny-imagenet-20',
    'dips_small-vit_tiny-imagenet-20',
]
seeds = [0, 1, 2]
metrics = ['cls/top1', 'loc/gt_known', 'loc/top1', 'loc/max_box_acc', 'loc/max_box_acc_v2']
page = dict(
    title='tiny-imagenet-20',
    text='Twenty classes at 64x64, 500 training images a class; figures on 50 more of each, which have one box. GT-known '
    'and Top-1 Loc at the threshold of each config, MaxBoxAcc and MaxBoxAccV2 at the best one of these images.',
    columns={
        'Cls@1': 'cls/top1',
        'GT-known': 'loc/gt_known',
        'Top-1 Loc': 'loc/top1',
        'MaxBoxAcc': 'loc/max_box_acc',
        'MaxBoxAccV2': 'loc/max_box_acc_v2',
    },
    against='ts-cam_small-vit_tiny-imagenet-20',
    metric='LocAccuracy',
    curves=('', 'MaxBoxAcc'))
